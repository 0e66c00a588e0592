"""Versions as numbers, and what has which version on a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Numbers = tuple[int, int, int]
KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
"""Programs whose versions have to fit each other."""
PACKAGED = ("etcd", "containerd")
DRAINED = ("kubelet", "containerd")
"""What is not replaced under running pods."""
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_NUMBERS = re.compile(r"(?:\d+:)?v?(\d+)\.(\d+)(?:\.(\d+))?")


def numbers(version: str) -> Numbers:
    """The numbers of "v1.20.2" or of a package's "1.6.20~ds1-1+deb12u1".

    Raises:
        ValueError: there are none.
    """
    found = _NUMBERS.match(version)
    if not found:
        raise ValueError(f"{version!r} is no version")
    return int(found[1]), int(found[2]), int(found[3] or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What hosts have, or will have: version by program, by host. A program that a host lacks is
    missing."""

    hosts: Mapping[str, Mapping[str, str]]

    def of(self, program: str) -> dict[str, str]:
        """A program's version by host."""
        return {
            name: found[program] for name, found in sorted(self.hosts.items()) if program in found
        }
