"""What is laid down on hosts beside their distribution's packages, and where it lies on the
operator's machine once it
has been had."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONTROLLER_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
HOST_PROGRAMS = ("kubelet", "kube-proxy", "kubectl")
KUBERNETES_PROGRAMS = CONTROLLER_PROGRAMS + HOST_PROGRAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Something to be had. `sha256` is empty where none can be pinned beforehand."""

    name: str
    version: str
    architecture: str
    sha256: str = ""

    @property
    def id(self) -> str:
        """How the lock file and messages call it: `kubernetes/v1.20.2/amd64/kubelet`."""
        return f"kubernetes/{self.version}/{self.architecture}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An artifact that lies here, checked. `sha256` is that of `path`; `compressed`, where there
    is one, is the same in
    gzip, for the way to hosts."""

    name: str
    version: str
    path: Path
    sha256: str
    compressed: Path | None = None

    @property
    def source(self) -> Path:
        """The file to send: the compressed one where there is one."""
        return self.compressed or self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Everything a run lays down, had and checked.

    `kubernetes` is the version chosen, `programs` its binaries by name, `releases` the Romana
    release by the hosts' Python version ("3.11"), `images` the container images that every host
    holds, each named by its reference, `upstream` what is brought to hosts whose distribution
    lacks it. `packages` are repositories of distribution packages, by release ("debian-12"), for
    hosts that have no archive in reach; hosts of other releases look where they always do.
    """

    kubernetes: str
    programs: Mapping[str, Resolved]
    releases: Mapping[str, Resolved]
    images: tuple[Resolved, ...]
    upstream: Mapping[str, Resolved] = field(default_factory=dict)
    packages: Mapping[str, Resolved] = field(default_factory=dict)

    def program(self, name: str) -> Resolved:
        """A Kubernetes binary by its name."""
        return self.programs[name]

    def release(self, python: str) -> Resolved:
        """The Romana release for a host whose Python is of that version."""
        return self.releases[python]


def kubernetes_artifacts(version: str, architecture: str) -> tuple[Artifact, ...]:
    """The binaries of one Kubernetes version.

    Args:
        version: "v1.34.1".
        architecture: as Kubernetes spells it: "amd64", "arm64".
    """
    return tuple(
        Artifact(name=name, version=version, architecture=architecture)
        for name in KUBERNETES_PROGRAMS
    )


def cache_directory() -> Path:
    """Where artifacts are kept between runs and clusters: $XDG_CACHE_HOME or ~/.cache, below
    `romana/artifacts`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "romana" / "artifacts"
