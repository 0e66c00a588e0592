"""`romana diff` and `romana matrix`, and what needs no agent."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import click

from romana.console import ASK_THE_CLUSTER, ask, asking, dump, table

LIMIT_S = 300
"""For a question about the whole of a large cluster."""
CHANGED = 2
NO_KERNEL = "no kernel was asked: this is what the objects alone say"
SHOWN = 50
Values = dict[str, Any]

source_option = click.option(
    "--source",
    "objects",
    default="",
    help="files:DIRECTORY of manifests, or kubernetes[:KUBECONFIG], instead of this host's agent.",
)


@click.command(epilog="Example: romana diff -f web-to-db.yaml")
@click.option(
    "-f",
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Manifests that would be applied (- is standard input).",
)
@click.option("--remove", is_flag=True, help="The objects in FILE would be removed.")
@source_option
@asking
def diff(file: Path, remove: bool, objects: str, path: str, as_json: bool) -> None:
    """What a change would open and cut, before it is made: between which workloads and on which
    ports, and which live connections of this host it would end.

    Exit code: 0 nothing would change, 2 something would."""
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    name = "standard input" if str(file) == "-" else file.name
    if objects:
        answer = _offline_diff(objects, text, name, remove)
    else:
        answer = ask(
            path,
            "diff",
            LIMIT_S,
            elsewhere=ASK_THE_CLUSTER,
            text=text.decode(errors="replace"),
            name=name,
            remove=remove,
        )
    if as_json:
        dump(answer)
    else:
        _print_diff(answer)
    if answer["changed"]:
        sys.exit(CHANGED)


def _offline_diff(source: str, text: bytes, name: str, remove: bool) -> Values:
    from romana.policy.change import change
    from romana.sources.errors import SourceError
    from romana.sources.manifests import applied

    snapshot = offline(source)
    try:
        new = applied(snapshot, text, name, remove=remove)
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    return {**change(snapshot, new).as_json(), "connections": None}


def explained(source: str, parameters: Values) -> Values:
    """The answer to `romana explain` from the objects alone; no kernel is asked."""
    from romana.objects import Protocol
    from romana.policy.explain import explain
    from romana.policy.parties import UnknownParty, flow_between

    snapshot = offline(source)
    try:
        flow = flow_between(
            snapshot,
            parameters["from"],
            parameters["to"],
            Protocol(parameters["protocol"].upper()),
            parameters["port"],
        )
    except UnknownParty as error:
        raise click.ClickException(str(error)) from error
    found = explain(snapshot, flow)
    return {**found.as_json(), "kernel": None, "lines": [*found.lines, NO_KERNEL]}


def offline(source: str) -> Any:
    """The snapshot of a source read once; what is wrong with objects there is told."""
    from romana.sources.errors import SourceError
    from romana.sources.once import read_once

    try:
        snapshot, faults = read_once(source)
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    for fault in faults:
        click.echo(f"problem: {fault}", err=True)
    return snapshot


def _print_diff(answer: Values) -> None:
    for title, key, sign in (("Would open", "opened", "+"), ("Would cut", "cut", "-")):
        rows = answer[key]
        if rows:
            click.echo(f"{title}:")
            table(
                ("", "FROM", "TO", "TRAFFIC", "PAIRS OF PODS"),
                [
                    (sign, row["source"], row["destination"], row["traffic"], row["pairs"])
                    for row in rows
                ],
            )
    if not answer["changed"]:
        click.echo("Nothing would change: every connection is judged as before.")
    connections = answer["connections"]
    if connections:
        click.echo(f"Would end {len(connections)} live connections of this host:")
        for each in connections[:SHOWN]:
            click.echo(f"  {each}")
        if len(connections) > SHOWN:
            click.echo(f"  and {len(connections) - SHOWN} more")
    elif connections is not None and answer["cut"]:
        click.echo("No live connection of this host would end.")


@click.command(epilog="Example: romana matrix --namespace shop --html shop.html")
@click.option("--namespace", default="", help="Only what concerns its pods.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with the picture here.",
)
@source_option
@asking
def matrix(namespace: str, html: Path | None, objects: str, path: str, as_json: bool) -> None:
    """Who reaches whom, on which ports."""
    if objects:
        from romana.policy.reach import reach

        answer = reach(offline(objects), namespace=namespace or None).as_json()
    else:
        answer = ask(path, "matrix", LIMIT_S, elsewhere=ASK_THE_CLUSTER, namespace=namespace)
    if namespace and not answer["groups"]:
        raise click.ClickException(f"there are no pods with addresses in namespace {namespace}")
    if as_json:
        return dump(answer)
    if html:
        from romana.insight.page import page

        html.write_text(page(answer, namespace))
        return click.echo(f"{html}: {len(answer['groups'])} groups of pods")
    return _print_matrix(answer)


def _print_matrix(answer: Values) -> None:
    groups = answer["groups"]
    names = [each["name"] for each in groups]
    arriving: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for source, destination, traffic in answer["between"]:
        arriving[destination][traffic].append(source)
    rows: list[tuple[str, str, str]] = []
    for index, group in enumerate(groups):
        if not group["looked_at"]:
            continue
        own = len(group["pods"]) > 1
        everyone = len(groups) if own else len(groups) - 1
        lines = [
            (
                "every other pod"
                if len(sources) == everyone
                else ", ".join(names[i] for i in sources),
                traffic,
            )
            for traffic, sources in arriving[index].items()
        ]
        lines += [tuple(each) for each in group["arriving"]]
        for number, (who, traffic) in enumerate(lines or [("nobody", "")]):
            rows.append((names[index] if number == 0 else "", who, traffic))
    table(("TO", "FROM", "TRAFFIC"), rows)
