"""Verbs that take a cluster away."""

from __future__ import annotations

from pathlib import Path

import click

from installer.commands.clusters import Wish
from installer.verbs import options
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
