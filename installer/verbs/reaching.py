"""Verbs that lead into a cluster: its kubeconfig, and its hosts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from installer.commands.clusters import Wish
from installer.inventory.document import Entry
from installer.inventory.kinds import Unfit, span
from installer.verbs import options
from installer.verbs.outcome import or_exit


def _life(_: click.Context, __: click.Parameter, given: str) -> timedelta | None:
    if not given:
        return None
    try:
        seconds = span(never=False)(Entry(where="--for", path="", value=given))
    except Unfit as error:
        raise click.BadParameter(f"{error.what}: {error.advice}") from error
    return timedelta(seconds=seconds)


@click.command()
@options.cluster
@click.option(
    "--for",
    "life",
    default="",
    metavar="SPAN",
    callback=_life,
    help="Print another kubeconfig, which ends after that time: 30m, 8h, 7d.",
)
def kubeconfig(
    inventory: Path | None, name: str, settings: tuple[str, ...], life: timedelta | None
) -> None:
    """Prints the path of the cluster's kubeconfig, for its administrator.

    That one is valid for a year and renewed by runs. With --for, the text of another is printed,
    to be handed out: an administrator's as well, and it ends by itself.

    \b
    Examples:
      export KUBECONFIG=$(romana-install kubeconfig)
      romana-install kubeconfig --for 8h >guest.conf
    """
    from installer.commands import existing

    wish = Wish(inventory=inventory, name=name, settings=settings)
    if life is None:
        click.echo(or_exit(lambda: existing.kubeconfig(wish)))
        return
    text, ends = or_exit(lambda: existing.limited_kubeconfig(wish, life))
    click.echo(text, nl=False)
    click.echo(f"valid until {ends:%Y-%m-%d %H:%M} UTC", err=True)


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
