"""One row of the table of distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Init = Literal["systemd", "upstart"]
Version = tuple[int, int]

RSA_SHA2 = (7, 2)
"""The OpenSSH release that brought RSA signatures with SHA-2; paramiko offers no older ones."""
AGENT_PYTHON = (3, 10)
"""The oldest Python that the agent runs with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What a distribution calls the packages that hosts need. `cni_plugins` is where its package
    of CNI plugins puts them; `brought` is what it has none of, or none that is new enough, and the
    installer brings along (see `installer.artifacts.upstream`)."""

    base: tuple[str, ...]
    runtime: tuple[str, ...]
    etcd: tuple[str, ...]
    balancer: tuple[str, ...] = ("haproxy",)
    cni_plugins: str = "/usr/lib/cni"
    brought: tuple[Literal["containerd", "runc", "cni-plugins", "etcd"], ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Those of every role, whatever a host is for; data planes have more."""
        return (*self.base, *self.runtime, *self.etcd, *self.balancer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One release of a distribution. Versions are (major, minor); "" and None mean that the
    archive has no such package."""

    id: str
    version: str
    codename: str
    kernels: tuple[Version, Version]
    """The kernel it came with, and the newest of its own archive (hardware enablement,
    backports)."""
    init: Init
    cgroup: Literal["v1", "v2"]
    """What it boots with unless told otherwise. v1 is mounted by systemd, or by the package
    cgroup-lite where there is none."""
    python: str
    """Of its package python3."""
    openssh: Version
    iptables: str
    firewall: Literal["legacy", "nft"]
    """Which kernel interface its command `iptables` speaks unless told otherwise."""
    ipset: str
    nftables: str
    libc: Version
    apt: Version
    containerd: Version | None
    etcd: Version | None
    haproxy: Version
    updates_until: str
    """The last day of security updates without a contract: "2029-05-31"."""
    archive: str
    """Host and path that its packages are at, for apt."""
    kernel_package: str = ""
    """The package of the newest kernel of its archive, where it did not come with it."""
    pockets: tuple[str, ...] = ()
    """Suites of the archive beside the release's own, where all are at one place: "trusty-updates".
    """
    lacks: str = ""
    packages: Packages | None = None

    @property
    def name(self) -> str:
        """For people: "Ubuntu 22.04"."""
        return f"{self.id.capitalize()} {self.version}"

    @property
    def runs_agent(self) -> bool:
        """Whether its own Python runs the agent; another has to be brought along otherwise."""
        major, minor = self.python.split(".")
        return (int(major), int(minor)) >= AGENT_PYTHON

    @property
    def takes_rsa(self) -> bool:
        """Whether its sshd takes an RSA user key from a client of today."""
        return self.openssh >= RSA_SHA2
