"""Verbs that take a cluster away: off its hosts, or with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from installer.commands.clusters import Wish
from installer.verbs import options
from installer.verbs.options import hosts_of, wish_of
from installer.verbs.outcome import asking, run


@click.command()
@options.cluster
@options.json
@options.yes
def destroy(
    inventory: Path | None, name: str, settings: tuple[str, ...], as_json: bool, yes: bool
) -> None:
    """Removes a cluster: its hosts, and all that this machine keeps of it.

    Servers (romana-install static) are left as they are, with the cluster running on them.

    \b
    Example:
      romana-install destroy -n sandbox --yes
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    run(lambda reporting: existing.destroy(wish, asking(yes), reporting), as_json)


@click.command()
@options.cluster
@options.leaving
def reset(
    *, check: bool, diff: bool, limit: str, take_over: bool, as_json: bool, yes: bool,
    drain_timeout: float, evict_bare_pods: bool, give_up: bool, **given: Any,
) -> None:  # fmt: skip
    """Takes everything of ours off hosts: services, pods, rules, routes, files, packages.

    What was there before stays, or comes back: each host has recorded what that was. With --limit
    the cluster lives on without those hosts, whose pods are moved first.

    \b
    Examples:
      romana-install reset --check --diff
      romana-install reset --yes
      romana-install reset --limit node2
    """
    from installer.commands.reset import How, reset
    from installer.departure import Patience

    how = How(
        check=check,
        limit=hosts_of(limit),
        give_up=give_up,
        take_over=take_over,
        patience=Patience(drain_s=drain_timeout, evict_bare=evict_bare_pods),
        confirm=asking(yes),
    )
    wish = wish_of(**given)
    run(lambda reporting: reset(wish, how, reporting), as_json, diff)
