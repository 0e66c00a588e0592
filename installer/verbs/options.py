"""Options that verbs share, each with the same meaning everywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from installer.commands.clusters import Wish
from installer.upgrade.batches import DEFAULT, DRAIN_TIMEOUT_S

Function = TypeVar("Function", bound=Callable[..., Any])


def group(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one decorator, in the order in which --help shows them."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


cluster = group(
    click.option("-i", "--inventory", type=click.Path(path_type=Path), help="Inventory file."),
    click.option("-n", "--name", default="", help="Name of the cluster."),
    click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE",
        help="Set a value of the inventory: --set network.mtu=1400. May be repeated.",
    ),
)  # fmt: skip
reaching = group(
    click.option(
        "--sudo-password-file", type=click.Path(path_type=Path), metavar="FILE",
        help="File with the password that sudo wants on hosts, readable only by you.",
    ),
    click.option("-K", "--ask-sudo-password", is_flag=True, help="Ask for it on the terminal."),
)  # fmt: skip
nodes = click.option(
    "-c", "--nodes", type=click.IntRange(0), help="How many nodes beside the controller."
)
json = click.option("--json", "as_json", is_flag=True, help="Events as JSON, one a line.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")
signers = group(
    click.option(
        "--bundle-key", type=click.Path(path_type=Path), metavar="FILE",
        help="Public SSH key, or allowed_signers file, of those whose bundles are taken.",
    ),
    click.option(
        "--bundle-from-anyone", is_flag=True,
        help="Take a bundle that nobody known has signed; its checksums count all the same.",
    ),
)  # fmt: skip
bundle = group(
    click.option(
        "--bundle", type=click.Path(path_type=Path), metavar="FILE",
        help="Take everything from this bundle, and nothing from the network.",
    ),
    signers,
)  # fmt: skip
looking = group(
    click.option("--check", is_flag=True, help="Say what would change, and change nothing."),
    click.option("--diff", is_flag=True, help="Show how files differ."),
    click.option("--limit", default="", metavar="HOSTS", help="Only these hosts: node1,node2."),
    click.option(
        "--take-over",
        is_flag=True,
        help="Take the cluster's lock from a run elsewhere that is dead.",
    ),
)
draining = group(
    click.option(
        "--drain-timeout", type=click.FloatRange(min=1), default=DRAIN_TIMEOUT_S,
        show_default=True, metavar="SECONDS",
        help="How long emptying a node may take, for an upgrade or because it leaves.",
    ),
    click.option(
        "--evict-bare-pods", is_flag=True,
        help="Evict also pods that nothing starts again.",
    ),
)  # fmt: skip
converging = group(
    reaching,
    bundle,
    looking,
    click.option(
        "--batch", default=DEFAULT, show_default=True, metavar="NUMBER|PERCENT",
        help="Of an upgrade: how many nodes may be down at once.",
    ),
    draining,
    json,
    yes,
)  # fmt: skip
leaving = group(
    reaching,
    looking,
    draining,
    click.option(
        "--give-up",
        is_flag=True,
        help="The cluster may lose the majority of its controllers, and so its control plane.",
    ),
    json,
    yes,
)


def hosts_of(limit: str) -> tuple[str, ...]:
    """The hosts that --limit names; none for all."""
    hosts = tuple(host.strip() for host in limit.split(",") if host.strip())
    if limit and not hosts:
        raise click.BadParameter("names no host", param_hint="--limit")
    return hosts


def wish_of(ask_sudo_password: bool, **given: Any) -> Wish:
    """What the command line says, with the password that it asks for."""
    signers_named = given.get("bundle_key") or given.get("bundle_from_anyone")
    if signers_named and not given.get("bundle"):
        raise click.UsageError("--bundle-key and --bundle-from-anyone are about a --bundle")
    typed = ""
    if ask_sudo_password:
        if not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on: use --sudo-password-file")
        typed = click.prompt("sudo password", hide_input=True, err=True)
    return Wish(**given, sudo_password=typed)
