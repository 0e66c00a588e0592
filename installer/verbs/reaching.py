"""Verbs that lead into a cluster: its kubeconfig, and its hosts."""

from __future__ import annotations

from pathlib import Path

import click

from installer.commands.clusters import Wish
from installer.verbs import options
from installer.verbs.outcome import or_exit


@click.command()
@options.cluster
def kubeconfig(inventory: Path | None, name: str, settings: tuple[str, ...]) -> None:
    """Prints the path of the cluster's kubeconfig, for its administrator.

    \b
    Example:
      export KUBECONFIG=$(romana-install kubeconfig)
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    click.echo(or_exit(lambda: existing.kubeconfig(wish)))


@click.command()
@options.cluster
@click.argument("host")
@click.argument("command", nargs=-1)
def ssh(
    inventory: Path | None,
    name: str,
    settings: tuple[str, ...],
    host: str,
    command: tuple[str, ...],
) -> None:
    """Logs in on a host, or runs a command there.

    \b
    Examples:
      romana-install ssh node1
      romana-install ssh node1 -- romana status
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    or_exit(lambda: existing.ssh(wish, host, command))
