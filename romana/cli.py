"""The command `romana`: what the agent of this host knows and enforces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from romana.authoring.command import add, remove
from romana.bench.command import bench
from romana.console import ASK_THE_CLUSTER, ask, asking, dump, table
from romana.insight.command import diff, explained, matrix, source_option
from romana.insight.denied import log
from romana.version import VERSION

if TYPE_CHECKING:
    from romana.dataplane.backends import BackendName

MAX_PORT = 65535
Values = dict[str, Any]


@click.group(
    epilog="Example: romana explain --from shop/frontend --to shop/backend --port 8080",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, package_name="romana", message="romana %(version)s")
def main() -> None:
    """See what the network agent of this host knows and enforces."""


@main.command(epilog="Example: romana status --json")
@asking
def status(path: str, as_json: bool) -> None:
    """The agent as a whole: is it in touch, is everything in force."""
    answer = ask(path, "status")
    if as_json:
        return dump(answer)
    shown = {
        "node": answer["node"],
        "version": answer["version"],
        "source": answer["source"],
        "policies in force": "yes" if answer["enforced"] else answer["failure"] or "not yet",
        "backend": ": ".join(filter(None, (answer["backend"], answer.get("backend_why"))))
        or "not chosen yet",
        "running for": f"{answer['uptime_s']} s",
        "objects": ", ".join(f"{count} {kind}" for kind, count in answer["objects"].items()),
        "endpoints": f"{answer['endpoints']}, judged by {answer['programs']} programs",
        "blocks": ", ".join(answer["blocks"]) or "none",
        "addresses free": ", ".join(
            f"{free} {name}" for name, free in answer["free_addresses"].items()
        ),
        "repairs": _repairs(answer["repairs"]),
        "traffic concerned": "; ".join(answer["repairs"]["traffic"]) or "none known",
        "kernel and policies": answer["verified"]["text"]
        if answer["verified"]
        else "not compared yet: `romana verify`",
    }
    shown["denied connections"] = answer["denied_log"]["text"]
    shown["others' firewalls"] = _others(answer["others"])
    refused = [("policy refused", each) for each in answer["policies_refused"]]
    table(("", ""), (*shown.items(), *refused))
    for problem in answer["problems"]:
        click.echo(f"problem: {problem}", err=True)
    return None


def _others(chains: list[Values]) -> str:
    told = (f"{each['table']}, chain {each['chain']}: policy {each['policy']}" for each in chains)
    return "; ".join(told) or "none that judges what is forwarded"


def _repairs(repairs: Values) -> str:
    if not repairs["last"]:
        return "none: nobody has changed table or routes"
    counts = f"{repairs['policy']} of policies, {repairs['route']} of routes"
    return f"{counts}; last {repairs['last']}"


@main.group()
def policy() -> None:
    """Policies as the agent understands them."""


@policy.command("list", epilog="Example: romana policy list")
@asking
def policy_list(path: str, as_json: bool) -> None:
    """All policies, and how many pods of this host each isolates."""
    answer = ask(path, "policies")
    if as_json:
        return dump(answer)
    rows = [
        (
            each["name"],
            each["direction"],
            len(each[each["direction"]]),
            each.get("idle", len(each["pods_here"])),
        )
        for each in answer
    ]
    return table(("NAME", "DIRECTION", "RULES", "PODS HERE"), rows)


@policy.command("show", epilog="Example: romana policy show kube.shop.backend.ingress")
@click.argument("name")
@asking
def policy_show(name: str, path: str, as_json: bool) -> None:
    """One policy in full. NAME is the Romana policy's, or NAMESPACE/NAME of the object it is made
    from."""
    answer = ask(path, "policies", name=name)
    if as_json:
        return dump(answer)
    import yaml

    return click.echo(yaml.safe_dump_all(answer, sort_keys=False, default_flow_style=None).rstrip())


main.add_command(bench)
main.add_command(diff)
main.add_command(matrix)
main.add_command(log)
policy.add_command(add)
policy.add_command(remove)


@main.group()
def endpoint() -> None:
    """Pods of this host."""


@endpoint.command("list", epilog="Example: romana endpoint list")
@asking
def endpoint_list(path: str, as_json: bool) -> None:
    """Pods of this host, their interfaces, by what they are isolated, and how many packets to and
    from them were denied."""
    answer = ask(path, "endpoints")
    if as_json:
        return dump(answer)
    rows = [
        (
            each["pod"],
            ", ".join(each["addresses"]),
            each["interface"],
            _isolation(each["ingress"]),
            _isolation(each["egress"]),
            *(each["denied_packets"] or {"ingress": "?", "egress": "?"}).values(),
        )
        for each in answer
    ]
    columns = ("POD", "ADDRESSES", "INTERFACE", "INGRESS", "EGRESS", "DENIED IN", "DENIED OUT")
    return table(columns, rows)


def _isolation(judged: Values | None) -> str:
    if judged is None:
        return "open"
    return ", ".join(judged["policies"]) or "closed"


@main.group()
def route() -> None:
    """Routes of this host."""


@route.command("list", epilog="Example: romana route list")
@asking
def route_list(path: str, as_json: bool) -> None:
    """The routes that the agent keeps: to the pods of this host, and to the other hosts' blocks."""
    answer = ask(path, "routes")
    if as_json:
        return dump(answer)
    rows = [
        (each["to"], each["via"] or "", each["interface"] or "", each["kind"]) for each in answer
    ]
    return table(("TO", "VIA", "INTERFACE", "KIND"), rows)


@main.group()
def block() -> None:
    """Blocks of pod addresses."""


@block.command("list", epilog="Example: romana block list")
@asking
def block_list(path: str, as_json: bool) -> None:
    """Which node holds which block, and what is free in this host's."""
    answer = ask(path, "blocks")
    if as_json:
        return dump(answer)
    rows = [
        (each["block"], each["node"], "" if each["free"] is None else each["free"])
        for each in answer
    ]
    return table(("BLOCK", "NODE", "FREE"), rows)


@main.command(epilog="Example: romana explain --from shop/frontend --to shop/backend --port http")
@click.option("--from", "source", required=True, help="NAMESPACE/POD or an address.")
@click.option("--to", "destination", required=True, help="NAMESPACE/POD or an address.")
@click.option(
    "--port", default="0", show_default=True, help="The destination's port: a number, or its name."
)
@click.option(
    "--protocol", default="TCP", show_default=True, type=click.Choice(("TCP", "UDP", "SCTP"), False)
)
@source_option
@asking
def explain(
    source: str,
    destination: str,
    port: str,
    protocol: str,
    objects: str,
    path: str,
    as_json: bool,
) -> None:
    """Why a connection passes, or what stops it: by policy and rule, for both sides; and by which
    elements the kernel of this host does so."""
    number = int(port) if port.isdigit() else port
    if isinstance(number, int) and number > MAX_PORT:
        raise click.UsageError(f"--port {port}: ports end at {MAX_PORT}")
    parameters: Values = {"from": source, "to": destination, "port": number, "protocol": protocol}
    if objects:
        answer = explained(objects, parameters)
    else:
        answer = ask(path, "explain", elsewhere=ASK_THE_CLUSTER, **parameters)
    if as_json:
        return dump(answer)
    return click.echo("\n".join(answer["lines"]))


@main.command(epilog="Example: romana verify")
@asking
def verify(path: str, as_json: bool) -> None:
    """Prove that the kernel enforces the policies, or show packets that it treats otherwise.

    Reads the table back and follows its rules with all packets at once. Exit code: 0 equal, 2 not
    equal, 1 nothing proven."""
    answer = ask(path, "verify")
    if as_json:
        dump(answer)
    else:
        for each in answer["shown"]:
            click.echo(each["text"])
        click.echo(answer["text"])
        sampled = f"{answer['sampled']} flows put to the reference evaluator"
        click.echo(f"{answer['seconds']} s of processor time; {sampled}")
    if not answer["equal"]:
        sys.exit(1 if answer["unproven"] else 2)


@main.command(epilog="Example: romana conformance networkpolicy-v1.json.gz --only ipBlock")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--backend",
    default="nftables",
    show_default=True,
    type=click.Choice(("nftables", "iptables", "iptables-legacy", "iptables-nft"), False),
)
@click.option("--only", default="", help="Cases with this text in their name, or with this tag.")
@click.option("--hosts", default=2, show_default=True, type=click.IntRange(1, 3))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--random", "chance", is_flag=True, help="Instead of FILE: a cluster by chance.")
@click.option("--seed", type=click.IntRange(0), help="Of --random: makes the same again.")
@click.option("--steps", default=10, show_default=True, type=click.IntRange(1), help="Of --random.")
@click.option("--ipv6", is_flag=True, help="Of --random: pods with IPv6 addresses.")
def conformance(
    file: Path | None,
    backend: BackendName,
    only: str,
    hosts: int,
    as_json: bool,
    chance: bool,
    seed: int | None,
    steps: int,
    ipv6: bool,
) -> None:
    """Prove this machine's kernel: make hosts and pods, enforce the cases of FILE, or policies by
    chance, and probe every cell."""
    from romana.conformance.command import by_chance
    from romana.conformance.command import conformance as prove
    from romana.conformance.run import Setting
    from romana.conformance.worlds import Shape

    setting = Setting(hosts=hosts, backend=backend)
    if chance == (file is not None):
        raise click.UsageError("name a FILE, or give --random")
    if file is None:
        shape = Shape(hosts=hosts, family=6 if ipv6 else 4)
        sys.exit(by_chance(seed, steps, shape, setting, as_json=as_json))
    sys.exit(prove(file, setting, only=only, as_json=as_json))


if __name__ == "__main__":
    main()
