"""Verbs that look at a cluster, or at what is to be one, and change nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import click

from installer.cluster import Platform
from installer.verbs import options
from installer.verbs.options import wish_of
from installer.verbs.outcome import or_exit, run


@click.command()
@options.cluster
@options.reaching
@options.json
def test(as_json: bool, **given: Any) -> None:
    """Runs the smoke test again: whether pods reach what they may, and nothing else.

    It uses namespaces of its own and is harmless on a cluster in use.

    \b
    Example:
      romana-install test -n sandbox
    """
    from installer.commands import existing

    wish = wish_of(**given)
    run(lambda reporting: existing.test(wish, reporting), as_json)


@click.command()
@options.cluster
@options.reaching
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def status(as_json: bool, **given: Any) -> None:
    """Shows how the cluster is: hosts, services, versions, certificates, nodes, agents.

    Exits with 1 where something is not as it should be.

    \b
    Example:
      romana-install status -n sandbox
    """
    import json

    from rich.console import Console

    from installer.commands import existing
    from installer.status import as_json as plain
    from installer.status import render

    wish = wish_of(**given)
    found = or_exit(lambda: existing.status(wish))
    if as_json:
        click.echo(json.dumps(plain(found), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(render(found))
    sys.exit(1 if found.problems else 0)


@click.command()
@options.cluster
@options.reaching
@click.option(
    "--platform", type=click.Choice(get_args(Platform)), help="Where the hosts come from."
)
@options.json
def doctor(platform: Platform | None, as_json: bool, **given: Any) -> None:
    """Says what keeps hosts from being a cluster, all at once, each with its remedy.

    Looks at the cluster of that name, or at the hosts of an inventory, of any platform; changes
    nothing. Exits with 1 where something has to be mended.

    \b
    Examples:
      romana-install doctor -i hosts.yml
      romana-install doctor -n sandbox --json
    """
    from installer.commands.doctor import doctor as look

    wish = wish_of(**given)
    run(lambda reporting: look(platform, wish, reporting), as_json)


@click.command()
@options.cluster
@options.reaching
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The archive, or a directory for it."
)
@options.json
def support(
    inventory: Path | None,
    name: str,
    settings: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    **reach: Any,
) -> None:
    """Collects what someone who is to help has to see, in one archive.

    Versions, states, logs, rules, routes and the last runs' journal, of all hosts that answer;
    without private keys, tokens, passwords and the values of environment variables. Nothing is
    changed.

    \b
    Example:
      romana-install support -n sandbox -o /tmp
    """
    from installer.commands import support as collecting

    wish = wish_of(inventory=inventory, name=name, settings=settings, **reach)
    run(lambda reporting: collecting.collect(wish, output, reporting), as_json)
