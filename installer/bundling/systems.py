"""Which distribution releases a bundle is for, and where apt finds their packages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from installer import distributions
from installer.cluster import Cluster
from installer.distributions import Distribution
from installer.errors import ArtifactError, InstallerError
from installer.inventory.aws import Aws
from installer.platforms.sandbox.distribution import parse_os_release

_KEYRING = "/usr/share/keyrings/{id}-archive-keyring.gpg"


def name_of(row: Distribution) -> str:
    """How bundles and options call a release: "debian-12"."""
    return f"{row.id}-{row.version}"


def chosen(cluster: Cluster, names: Sequence[str]) -> tuple[Distribution, ...]:
    """The releases that a bundle is to be for.

    Args:
        cluster: whose hosts' release is taken where none is named, if the platform says it.
        names: as the operator names them.

    Raises:
        InstallerError: a name is none, or none is named where nobody else can know.
    """
    names = names or _by_platform(cluster)
    if not names:
        raise InstallerError(
            f"which releases the hosts of {cluster.platform} run is not known here",
            f"name them: --os {'|'.join(_known())}, several times for several",
        )
    return tuple(_row(name) for name in dict.fromkeys(names))


def is_own(row: Distribution) -> bool:
    """Whether this machine runs that release, so that its own apt knows the packages."""
    return name_of(row) == _own()


def sources(row: Distribution, mirror: str) -> str:
    """apt's sources for a release that this machine does not run, with the keys that its archive
    signs with.

    Args:
        row: the release.
        mirror: in place of the distribution's own archive; empty for that.

    Raises:
        ArtifactError: the keys are not on this machine.
    """
    keyring = Path(_KEYRING.format(id=row.id))
    if not keyring.exists():
        raise ArtifactError(
            f"packages of {row.name} cannot be verified here: {keyring} is missing",
            f"put {row.id.capitalize()}'s archive keys there, or make the bundle on such a machine",
        )
    # The archives are signed; those of old releases are not to be had over TLS everywhere.
    archive = mirror or f"http://{row.archive}"
    parts = "main universe" if row.id == "ubuntu" else "main"
    suites = [(archive, row.codename)] + [(archive, each) for each in row.pockets]
    if row.id == "debian":
        suites.append((archive, f"{row.codename}-updates"))
        suites.append((f"{archive.rstrip('/')}-security", f"{row.codename}-security"))
    return "".join(f"deb [signed-by={keyring}] {at} {suite} {parts}\n" for at, suite in suites)


def _by_platform(cluster: Cluster) -> tuple[str, ...]:
    if cluster.platform == "sandbox":
        return (_own(),)
    if isinstance(cluster.section, Aws) and cluster.section.image in _known():
        return (cluster.section.image,)
    return ()


def _own() -> str:
    release = parse_os_release(Path("/etc/os-release").read_text())
    return f"{release.get('ID', '')}-{release.get('VERSION_ID', '')}"


def _known() -> tuple[str, ...]:
    return tuple(name_of(row) for row in distributions.TABLE if row.packages is not None)


def _row(name: str) -> Distribution:
    for row in distributions.TABLE:
        if name_of(row) == name and row.packages is not None:
            return row
    near = difflib.get_close_matches(name, _known(), 1)
    raise InstallerError(
        f"--os {name}: clusters are not laid down on that",
        f"did you mean {near[0]}?" if near else f"there is {', '.join(_known())}",
    )
