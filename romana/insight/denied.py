"""`romana log denied`."""

from __future__ import annotations

import json
from typing import Any

import click

from romana.console import ask, asking, dump

FOLLOW_LIMIT_S = 60
Values = dict[str, Any]


@click.group()
def log() -> None:
    """What the agent of this host logs."""


@log.command("denied", epilog="Example: romana log denied on --namespace shop --follow")
@click.argument("switch", required=False, type=click.Choice(("on", "off", "default")))
@click.option(
    "--namespace", "namespaces", multiple=True, help="With `on`: of pods of this one only; again."
)
@click.option("--follow", is_flag=True, help="Print lines as they come, until interrupted.")
@asking
def denied(
    switch: str | None, namespaces: tuple[str, ...], follow: bool, path: str, as_json: bool
) -> None:
    """Whether connections that policies deny are logged: show it, or switch it.

    Each is one line of JSON in the agent's log. What is chosen here stays over restarts of the
    agent, and counts before `log_denied` of its configuration, until `default`."""
    if namespaces and switch != "on":
        raise click.UsageError("--namespace goes with `on`")
    state = ask(path, "log.denied", switch=switch, namespaces=list(namespaces))
    if not follow:
        return dump(state) if as_json else _show(state)
    if state["problem"]:
        raise click.ClickException(state["problem"])
    if not state["on"]:
        raise click.ClickException("denied connections are not logged; `romana log denied on`")
    return _follow(path)


def _show(state: Values) -> None:
    click.echo(f"denied connections: {state['text']}")
    if state["problem"]:
        click.echo(f"problem: {state['problem']}", err=True)


def _follow(path: str) -> None:
    number = ask(path, "log.denied.follow")["number"]
    while True:
        answer = ask(path, "log.denied.follow", FOLLOW_LIMIT_S, after=number)
        for line in answer["lines"]:
            click.echo(json.dumps(line))
        number = answer["number"]
