"""The verb for places without a network: one file with everything."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from installer.cluster import Platform
from installer.commands.clusters import Wish, platform_of
from installer.commands.reporting import Reporting
from installer.verbs import options
from installer.verbs.outcome import or_exit, run


@click.command()
@click.argument("platform", required=False, type=click.Choice(get_args(Platform)))
@options.cluster
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file, or a directory for it."
)
@click.option(
    "--os",
    "systems",
    multiple=True,
    metavar="RELEASE",
    help="What the hosts run: debian-12, ubuntu-24.04. May be repeated.",
)
@click.option(
    "--arch",
    "architecture",
    type=click.Choice(("amd64", "arm64")),
    help="The hosts' architecture; this machine's by default.",
)
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEY",
    help="SSH key that signs it: a private one, or a public one that the agent has.",
)
@click.option(
    "--no-packages", is_flag=True, help="Leave the distribution's packages to hosts' own archive."
)
@click.option(
    "--list",
    "listed",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Verify a bundle and say what is in it.",
)
@options.signers
@options.json
def bundle(
    platform: Platform | None, inventory: Path | None, name: str, settings: tuple[str, ...],
    output: Path | None, systems: tuple[str, ...], architecture: str | None, key: Path | None,
    no_packages: bool, listed: Path | None, bundle_key: Path | None, bundle_from_anyone: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Writes one file with everything that a cluster is made of, for places without a network.

    It holds Kubernetes, Romana, images, what hosts need of their distribution, and this installer;
    each verified when the bundle is made, listed with its SHA-256, and the list is signed.
    romana-install PLATFORM --bundle FILE installs from it.

    \b
    Examples:
      romana-install bundle static -i hosts.yml --os debian-12 --sign ~/.ssh/id_ed25519 -o site.tar
      romana-install bundle --list site.tar --bundle-key maker.pub
      romana-install static -i hosts.yml --bundle site.tar --bundle-key maker.pub
    """
    from installer.bundle.supply import this_machine
    from installer.commands import bundle as bundles

    wish = Wish(
        inventory=inventory,
        name=name,
        settings=settings,
        bundle_key=bundle_key,
        bundle_from_anyone=bundle_from_anyone,
    )
    if listed is not None:
        _show(listed, wish, as_json)
        return
    how = bundles.Making(
        output=output,
        systems=systems,
        architecture=architecture or this_machine(),
        key=key,
        packages=not no_packages,
    )
    implied = or_exit(partial(platform_of, wish))
    wanted = platform or implied
    run(partial(bundles.make, wanted, wish, how), as_json)


def _show(path: Path, wish: Wish, as_json: bool) -> None:
    """What is in a bundle: a table, or JSON."""
    import json

    import msgspec
    from rich.console import Console
    from rich.table import Table

    from installer.bundle.supply import describe
    from installer.commands import bundle as bundles

    quiet = Reporting("romana-install bundle --list", as_json=False)
    with quiet:
        manifest, signer = or_exit(lambda: bundles.look(path, wish, quiet), quiet)
    size = path.stat().st_size
    if as_json:
        facts: dict[str, Any] = {"file": str(path), "size": size, "signer": signer}
        click.echo(json.dumps({**facts, **msgspec.to_builtins(manifest)}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("member", "what", "version", "size", "where it is from"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for member in manifest.members:
        megabytes = f"{member.size / 1e6:.1f} MB"
        table.add_row(member.name, member.item, member.version, megabytes, member.origin)
    Console(width=None if sys.stdout.isatty() else 320).print(table)
    by = f"signed by {signer}" if signer else "signed by nobody"
    click.echo(f"{path}: {describe(manifest)}; {size / 1e6:.0f} MB; {by}; every byte verified")
