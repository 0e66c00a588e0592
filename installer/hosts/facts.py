"""What is known of a host before anything is decided: read in one round trip, parsed by pure
functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

InitSystem = Literal["systemd", "upstart", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One host as it is. Sizes in MiB, times in seconds since 1970, addresses as
    "198.18.0.11/24"."""

    hostname: str
    machine_id: str
    os_id: str
    os_version: str
    kernel: str
    architecture: str
    init: InitSystem
    uid: int
    python: str
    """Version of the newest python3 on PATH ("3.11"), empty where there is none."""
    cpus: int
    memory_mb: int
    disk_free_mb: int
    """Free where /var/lib is."""
    swap_mb: int
    cgroup: Literal["v1", "v2"]
    container: str
    """What the host itself runs in ("systemd-nspawn", "lxc"), empty for a machine."""
    clock: float
    clock_offset_s: float
    """The host's clock less the operator's, the round trip halved."""
    addresses: tuple[str, ...]
    interface: str
    """The interface that holds the host's inventory address; empty where none does."""
    mtu: int
    listening: tuple[tuple[int, str], ...]
    """TCP ports with a listener, and the program's name."""
    modules: tuple[str, ...]
    """Kernel modules and built-ins found of those that are needed."""
    cni_configs: tuple[str, ...]
    """Files in /etc/cni/net.d."""
    forward_policy: str
    """Policy of the iptables FORWARD chain (either backend): ACCEPT, DROP, or empty where it is
    not set up."""
    forward_drops: tuple[str, ...] = ()
    """Chains of nftables, other than iptables' own, that drop what is forwarded unless a rule takes
    it: "inet filter forward"."""
    links: tuple[str, ...] = ()
    """Names of all interfaces."""
    routes: tuple[tuple[str, str], ...] = ()
    """IPv4 routes that are not ours: destination and interface."""
    packages: tuple[tuple[str, str], ...] = ()
    """Installed versions of the packages we may install."""


def kernel_release(text: str) -> tuple[int, int]:
    """The first two numbers of a version: (6, 1) of "6.1.0-18-amd64"; (0, 0) where it has none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
