"""Makes a bundle, and says what is in one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from installer.artifacts.choice import AUTO, RECORD
from installer.bundle import layout, supply
from installer.bundle.contents import Manifest, encode
from installer.bundle.signature import sign
from installer.bundle.unpacking import check, told
from installer.bundling.gathering import Order, gather
from installer.bundling.systems import chosen, is_own, sources
from installer.cluster import Cluster, Platform
from installer.commands import clusters
from installer.commands.bundled import trust
from installer.commands.clusters import Wish
from installer.commands.converge import copied_state
from installer.commands.reporting import Reporting
from installer.distributions import Distribution
from installer.errors import InstallerError
from installer.events import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How a bundle is to be made.

    Args:
        output: the file, or a directory for it; the working directory where it is left out.
        systems: the hosts' releases, as the operator names them.
        architecture: the hosts'.
        key: what it is signed with; None for not at all.
        packages: with the distribution packages.
    """

    output: Path | None
    systems: Sequence[str]
    architecture: str
    key: Path | None
    packages: bool


def make(platform: Platform, wish: Wish, how: Making, reporting: Reporting) -> int:
    """Makes a bundle for clusters like the one that is wished for.

    Raises:
        InstallerError: something cannot be had; nothing was written.
        OSError: it cannot be written.
    """
    started, emit = time.monotonic(), reporting.emit
    cluster = clusters.wanted(platform, wish)[0].cluster
    systems = chosen(cluster, how.systems)
    _require_able(how, systems, cluster)
    with copied_state(cluster) as scratch:
        if cluster.kubernetes != AUTO:
            # What the cluster has is not what the bundle is for.
            (scratch.state / RECORD).unlink(missing_ok=True)
        gathered = gather(
            Order(
                cluster=scratch,
                systems=systems,
                architecture=how.architecture,
                packages=how.packages,
                image=platform == "sandbox",
            ),
            emit,
        )
    manifest = gathered.manifest
    path = _path(how.output, manifest)
    reporting.pause()  # ssh-keygen may ask for a passphrase
    signature = sign(encode(manifest), how.key) if how.key else b""
    advance = told(f"write {path.name}", emit)
    layout.write(path, manifest, signature, gathered.sources, advance)
    emit(Notice(text=_written(path, manifest, time.monotonic() - started)))
    if how.key is None:
        text = f"{path.name} is not signed: who installs from it has to say --bundle-from-anyone"
        emit(Notice(text=text, level="warning"))
    return 0


def _require_able(how: Making, systems: Sequence[Distribution], cluster: Cluster) -> None:
    """Says what would be found out only after minutes of fetching."""
    if how.key is not None and not how.key.is_file():
        raise InstallerError(f"{how.key}: there is no such key", "give --sign a private SSH key")
    if how.output is not None and not how.output.parent.is_dir():
        raise InstallerError(f"{how.output.parent}: there is no such directory", "make it first")
    own = supply.this_machine()
    if how.architecture != own:
        # busybox, which the images are made around, is this machine's.
        raise InstallerError(
            f"images for {how.architecture} cannot be made on this machine, which is {own}",
            f"make the bundle on a machine of {how.architecture}",
        )
    for row in systems if how.packages else ():
        if not is_own(row):
            sources(row, cluster.package_mirror)


def look(path: Path, wish: Wish, reporting: Reporting) -> tuple[Manifest, str]:
    """What is in a bundle and who signed it; every byte of it is verified.

    Raises:
        InstallerError: it is not to be trusted, or not whole.
    """
    return check(path, trust(wish), reporting.emit)


def _path(output: Path | None, manifest: Manifest) -> Path:
    output = output or Path()
    if not output.is_dir():
        return output
    return output / f"romana-bundle-{manifest.kubernetes}-{manifest.architecture}.tar"


def _written(path: Path, manifest: Manifest, seconds: float) -> str:
    size = path.stat().st_size / 1e6
    return (
        f"{path}: {supply.describe(manifest)}; {size:.0f} MB in {len(manifest.members)} members, "
        f"made in {seconds:.0f} s"
    )
