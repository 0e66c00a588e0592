"""Verbs that keep what a cluster holds, and rebuild it from that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from installer.commands.reporting import Reporting
from installer.verbs import options
from installer.verbs.options import wish_of
from installer.verbs.outcome import asking, run


@click.command()
@options.cluster
@options.reaching
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file, or a directory for it."
)
@click.option(
    "--keep",
    "keep_days",
    type=click.IntRange(0),
    metavar="DAYS",
    help="Remove older backups of the cluster from that directory.",
)
@click.option(
    "--fetch", is_flag=True, help="The last one that a controller has taken by itself, instead."
)
@options.json
def backup(
    inventory: Path | None, name: str, settings: tuple[str, ...], output: Path | None,
    keep_days: int | None, fetch: bool, as_json: bool, **reach: Any,
) -> None:  # fmt: skip
    """Backs a cluster up into one file, which is verified: what etcd holds, the cluster's secrets,
    and how it was asked for.

    Controllers take such snapshots by themselves, every six hours: `backup` in the inventory says
    how often, `romana-install status` how old the last one is, and --fetch brings it here.

    Without -o it goes to the cluster's state directory. Keep it where the cluster's keys may be.

    \b
    Example, every night, keeping a month:
      0 3 * * *  romana-install backup -n prod -o /srv/backups --keep 30
    """
    from installer.commands import backup as backing

    wish = wish_of(inventory=inventory, name=name, settings=settings, **reach)

    def act(reporting: Reporting) -> int:
        if fetch:
            return backing.fetch(wish, output, reporting)
        return backing.take(wish, output, keep_days, reporting)

    run(act, as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.cluster
@options.reaching
@options.bundle
@options.json
@options.yes
def restore(
    file: Path, inventory: Path | None, name: str, settings: tuple[str, ...], as_json: bool,
    yes: bool, **reach: Any,
) -> None:  # fmt: skip
    """Rebuilds a lost control plane from a backup, on the same hosts or on new ones.

    Controllers that are gone are made or laid down anew; pods that run go on running, and policies
    stay in force meanwhile. What changed in the cluster after the backup is lost.

    \b
    Example:
      romana-install restore /srv/backups/romana-backup-prod-20261124-030000.tar.gz
    """
    from installer.commands import backup as backing

    wish = wish_of(inventory=inventory, name=name, settings=settings, **reach)
    run(lambda reporting: backing.restore(wish, file, asking(yes or as_json), reporting), as_json)


@click.command()
@options.cluster
@options.reaching
@click.option("--to", "wanted", default="", metavar="RELEASE", help="Instead of the one before.")
@options.json
@options.yes
def rollback(
    inventory: Path | None, name: str, settings: tuple[str, ...], wanted: str, as_json: bool,
    yes: bool, **reach: Any,
) -> None:  # fmt: skip
    """Goes back to the release of Romana that hosts had before; nothing else changes.

    Agents restart, on one host first; pods and their connections are not touched.

    \b
    Example:
      romana-install rollback -n prod
    """
    from installer.commands.rollback import rollback as going_back

    wish = wish_of(inventory=inventory, name=name, settings=settings, **reach)
    run(lambda reporting: going_back(wish, wanted, asking(yes or as_json), reporting), as_json)
