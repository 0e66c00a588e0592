"""What differs between Kubernetes versions, as tables. Roles look things up here; no `if version`
anywhere else.

Sources: the CHANGELOG of each minor release, the flags' reference at kubernetes.io, and
https://containerd.io/releases/#kubernetes-support.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

OLDEST = 20
"""The oldest minor release of 1.x that this installer lays down."""
NEWEST = 34
"""The newest one."""

CONCATENATED_INTERVALS = (5, 6)
"""The kernel release that brought nftables' sets of concatenated intervals, which policies need."""

Program = Literal["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"]
_VERSION = re.compile(r"^v1\.(\d+)\.(\d+)$")


@dataclass(frozen=True, slots=True)
class _Flags:
    """Flags of a program in minor releases from `first` to before `end`."""

    program: Program
    first: int
    end: int
    flags: tuple[str, ...]


_FLAGS = (
    # The insecure port of these two was on by default, on every address, until its code went.
    _Flags("kube-controller-manager", 0, 23, ("--port=0",)),
    _Flags("kube-scheduler", 0, 23, ("--port=0",)),
    # dockershim was the default runtime until it went; the flag went later.
    _Flags("kubelet", 0, 24, ("--container-runtime=remote",)),
    # Before the field of the configuration file there was the flag.
    _Flags("kubelet", 0, 27, ("--container-runtime-endpoint={endpoint}",)),
    # Keeps the image collector off the pause image until containerd 2 pins it. Gone in 1.35.
    _Flags("kubelet", 0, 35, ("--pod-infra-container-image={pause}",)),
    # Node routes are the agent's. The flag is of the cloud providers that went in 1.31.
    _Flags("kube-controller-manager", 0, 31, ("--configure-cloud-routes=false",)),
)


@dataclass(frozen=True, slots=True)
class _Needs:
    """What hosts must have for minor releases from `first` on."""

    first: int
    kernel: tuple[int, int]
    why_kernel: str
    containerd: tuple[int, int]
    cgroup_v1: bool


# Required of every kubelet since the two feature gates that turned it off were locked in 1.20; one
# that does not find it ends at once (kubernetes#79046, #94140).
_PIDS = "its kubelet wants the control group `pids`, which came with 4.3"
_FLOOR = "what its project supports begins there (KEP-3104)"
_NEEDS = (
    _Needs(0, (4, 3), _PIDS, (1, 3), True),
    _Needs(26, (4, 3), _PIDS, (1, 6), True),  # CRI v1 only
    _Needs(32, (4, 19), _FLOOR, (1, 6), True),
    _Needs(35, (4, 19), _FLOOR, (1, 7), False),  # failCgroupV1
    _Needs(36, (4, 19), _FLOOR, (2, 0), False),
)


class UnsupportedVersion(ValueError):
    """A Kubernetes version that cannot be installed; the text says why and what the nearest one
    is."""


def minor(version: str) -> int:
    """The minor release of "v1.20.2": 20.

    Raises:
        UnsupportedVersion: it is no full version of Kubernetes 1.
    """
    found = _VERSION.match(version)
    if not found:
        raise UnsupportedVersion(f"{version!r} is no Kubernetes version: write it like v1.20.2")
    return int(found[1])


def supported() -> tuple[int, ...]:
    """All minor releases of 1.x that can be installed, oldest first."""
    return tuple(range(OLDEST, NEWEST + 1))


def require_supported(version: str) -> None:
    """Refuse a version that is out of range.

    Raises:
        UnsupportedVersion: with the reason and the nearest that works.
    """
    wanted = minor(version)
    if wanted < OLDEST:
        raise UnsupportedVersion(
            f"Kubernetes {version} is older than this installer knows: the nearest is v1.{OLDEST}.x"
        )
    if wanted > NEWEST:
        raise UnsupportedVersion(
            f"Kubernetes {version} is newer than what this installer knows: the nearest is "
            f"v1.{NEWEST}.x"
        )


def flags(program: Program, version: str, **values: str) -> tuple[str, ...]:
    """Flags that a program needs in this version but not in every one.

    Args:
        program: its name.
        version: "v1.20.2".
        values: what stands in braces in the table: `endpoint` and `pause` for the kubelet.
    """
    wanted = minor(version)
    return tuple(
        flag.format(**values)
        for row in _FLAGS
        if row.program == program and row.first <= wanted < row.end
        for flag in row.flags
    )


def endpoint_in_file(version: str) -> bool:
    """Whether the kubelet reads the runtime's endpoint from its configuration file."""
    return minor(version) >= 27


def controller_taint(version: str) -> str:
    """The taint that keeps ordinary pods off a host that is only a controller; kubeadm's of the
    time."""
    name = "master" if minor(version) < 24 else "control-plane"
    return f"node-role.kubernetes.io/{name}:NoSchedule"


def minimum_kernel(version: str) -> tuple[int, int]:
    """The oldest kernel release that a version runs on."""
    return _needs(version).kernel


def why_kernel(version: str) -> str:
    """Why a version runs on no older kernel, in words for the operator."""
    return _needs(version).why_kernel


def data_plane(kernel: tuple[int, int]) -> Literal["nftables", "iptables"]:
    """Which backend the agent can count on with a kernel."""
    return "nftables" if kernel >= CONCATENATED_INTERVALS else "iptables"


def minimum_containerd(version: str) -> tuple[int, int]:
    """The oldest containerd release that a version works with."""
    return _needs(version).containerd


def runs_on_cgroup_v1(version: str) -> bool:
    """Whether a version's kubelet starts on a host with cgroup v1."""
    return _needs(version).cgroup_v1


def newest_for(*, kernel: tuple[int, int], cgroup_v1: bool) -> int | None:
    """The newest minor release that hosts can run, or None."""
    fit = [
        candidate
        for candidate in supported()
        if _row(candidate).kernel <= kernel and (_row(candidate).cgroup_v1 or not cgroup_v1)
    ]
    return max(fit, default=None)


def _needs(version: str) -> _Needs:
    return _row(minor(version))


def _row(wanted: int) -> _Needs:
    return max((row for row in _NEEDS if row.first <= wanted), key=lambda row: row.first)
