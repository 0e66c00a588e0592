"""Which Debian or Ubuntu this machine runs, and where apt gets it from: hosts are of the same."""

from __future__ import annotations

import platform
import shlex
from dataclasses import dataclass
from pathlib import Path

from installer.errors import PlatformError
from installer.platforms.sandbox.command import output

_WHAT = "find this machine's package source"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TARGETS = "$(REPO_URI)|$(CODENAME)|$(COMPONENT)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A release of Debian or Ubuntu, for one architecture in Debian's spelling."""

    id: str
    version: str
    codename: str
    architecture: str

    @property
    def label(self) -> str:
        """For people and file names: `debian-bookworm-amd64`."""
        return f"{self.id}-{self.codename}-{self.architecture}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where a release's packages come from, and which parts of it."""

    mirror: str
    components: tuple[str, ...]


def read_distribution() -> Distribution:
    """This machine's.

    Raises:
        PlatformError: it is another distribution, or another architecture.
    """
    release = parse_os_release(Path("/etc/os-release").read_text())
    identity, codename = release.get("ID", "unknown"), release.get("VERSION_CODENAME", "")
    architecture = _ARCHITECTURES.get(platform.machine(), "")
    if identity not in ("debian", "ubuntu") or not codename or not architecture:
        raise PlatformError(
            f"the sandbox makes hosts like this machine, and this is {identity} on "
            f"{platform.machine()}",
            "run it on Debian or Ubuntu (amd64, arm64), or use the vagrant or aws platform",
        )
    return Distribution(
        id=identity,
        version=release.get("VERSION_ID", ""),
        codename=codename,
        architecture=architecture,
    )


def find_archive(distribution: Distribution) -> Archive:
    """The archive that this machine's apt uses for the release.

    Raises:
        PlatformError: apt knows none.
    """
    targets = output(("apt-get", "indextargets", "--format", _TARGETS), what=_WHAT)
    return choose_archive(targets, distribution.codename)


def parse_os_release(text: str) -> dict[str, str]:
    """os-release(5) as a dictionary."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key: "".join(shlex.split(value)) for key, _, value in pairs}


def choose_archive(targets: str, codename: str) -> Archive:
    """The archive of the release itself.

    Args:
        targets: lines `URI|codename|component`, as apt knows them.
        codename: the release; its updates and security archives have other codenames.

    Raises:
        PlatformError: none of the lines is the release's.
    """
    rows = [line.split("|") for line in targets.splitlines()]
    found = [(row[0], row[2]) for row in rows if len(row) == 3 and row[1] == codename]
    mirrors = [uri for uri, component in found if component == "main"]
    if not mirrors:
        raise PlatformError(
            f"apt on this machine knows no archive of {codename}",
            "check /etc/apt/sources.list, run apt-get update, and run again",
        )
    usable = {component for uri, component in found if uri == mirrors[0]}
    wanted = [name for name in ("main", "universe") if name in usable]
    return Archive(mirror=mirrors[0], components=tuple(wanted))
