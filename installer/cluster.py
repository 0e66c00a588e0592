"""What the inventory says, as frozen values: a cluster and its hosts. `inventory` makes them;
everything else reads them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

Platform = Literal["sandbox", "static", "vagrant", "aws"]
Group = Literal["controller", "nodes"]
Backend = Literal["auto", "nftables", "iptables"]
"""What enforces policies on hosts. `auto` leaves it to each host's agent."""
Password = Callable[[], str]
"""Gives a password when it is needed. Raises InstallerError where there is none."""
Dial = Callable[[], socket.socket]
"""Opens a connected stream socket to a host's SSH port where plain TCP from here cannot (a lab's
namespace)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SSH:
    """How to reach a host. `host_key` is an OpenSSH public key line ("ssh-ed25519 AAAA..."); where
    it is empty the cluster's known_hosts decides, and an unknown key is refused. `address` is where
    SSH goes if it is not the host's own address, such as one that is translated to it. `bastion`
    names the host that the way leads through: another of the cluster, or one of its bastions.
    `sudo_password` is asked when a user other than root has to give one to become root."""

    user: str = "root"
    port: int = 22
    key: Path | None = None
    host_key: str = ""
    bastion: str = ""
    address: str = ""
    sudo_password_file: Path | None = None
    dial: Dial | None = field(default=None, compare=False, repr=False)
    sudo_password: Password | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bastion:
    """A host that the way to others leads through, and that is no part of the cluster."""

    name: str
    ssh: SSH

    @property
    def login(self) -> str:
        """Name or address that SSH goes to."""
        return self.ssh.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One server. `zone` is its failure domain, for the layout of address blocks; `segment`, the
    layer 2 network it sits on: hosts of one segment route to each other directly."""

    name: str
    address: IPv4Address
    groups: tuple[Group, ...]
    ssh: SSH = SSH()
    zone: str = "default"
    segment: str = "default"
    labels: tuple[tuple[str, str], ...] = ()
    taints: tuple[str, ...] = ()
    memory_mb: int = 2048
    disk_gb: int = 20
    instance_type: str = ""
    gateway: IPv4Address | None = None
    """Where the host sends what is for pods beyond its segment; None where its default route leads
    there, because the fabric knows them."""
    near: IPv4Network | None = None
    """The part of the pod network that the platform's fabric routes to this host: its blocks are
    claimed there first."""

    @property
    def login(self) -> str:
        """Name or address that SSH goes to."""
        return self.ssh.address or str(self.address)

    @property
    def is_controller(self) -> bool:
        """Whether the control plane runs here."""
        return "controller" in self.groups

    @property
    def is_node(self) -> bool:
        """Whether pods run here: every host of the cluster has a kubelet; a host that is only a
        controller is tainted."""
        return "nodes" in self.groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Addresses of the cluster. `block_size` is the prefix length of the blocks that nodes claim
    from `pods`."""

    pods: IPv4Network
    services: IPv4Network
    hosts: IPv4Network
    block_size: int = 25
    masquerade: bool = True
    mtu: int | None = None
    backend: Backend = "auto"

    @property
    def api_service(self) -> IPv4Address:
        """The first service address: the API server, as seen by pods."""
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        """The tenth service address, where cluster DNS is by convention."""
        return self.services[10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """How often every controller keeps a snapshot of its etcd, in seconds (0: never), and for how
    long."""

    every_s: int = 6 * 3600
    keep_s: int = 7 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster as wanted. `kubernetes` is "auto" (newest supported that can be had; recorded once
    chosen) or a version such as "v1.20.2". `state` is the cluster's directory on the operator's
    machine, 0700."""

    name: str
    platform: Platform
    kubernetes: str
    network: Network
    hosts: tuple[Host, ...]
    state: Path
    domain: str = "cluster.local"
    api_port: int = 6443
    api_endpoint: str = ""
    """URL of a balancer of the operator's own in front of the API servers, for kubeconfigs that
    leave the cluster: "https://api.example.org:6443"."""
    download_url: str = "https://dl.k8s.io"
    upstream_url: str = "https://github.com"
    """Where programs of other projects are had from, for hosts whose distribution lacks them."""
    package_mirror: str = ""
    """Where the hosts' distribution packages are, if not where the hosts look by themselves: the
    archives of old releases move."""
    etcd: str = "auto"
    """A version of etcd, "3.4.23"; `auto` leaves it at what a host got when it was installed."""
    containerd: str = "auto"
    romana: str = "auto"
    """A release of Romana that is kept from earlier; `auto` is the installer's own."""
    smoke: bool = True
    zone_order: tuple[str, ...] = ()
    """Zones in the order in which they share out the pod network; zones of hosts that are not named
    here come after."""
    bastions: tuple[Bastion, ...] = ()
    section: object = None
    """What the inventory says under the platform's own name, as that platform's value."""
    snapshots: Snapshots = Snapshots()
    package_repository: str = ""
    """An apt source line for a repository beside the host's own, for instance the sandbox's
    directory of packages."""
    bundle: Path | None = None
    """The directory of an unpacked bundle that everything is taken from; nothing is fetched."""

    @property
    def controllers(self) -> tuple[Host, ...]:
        """Hosts of the control plane, in the inventory's order."""
        return tuple(host for host in self.hosts if host.is_controller)

    @property
    def zones(self) -> tuple[str, ...]:
        """All zones; a zone's place decides its share of the pod network."""
        return tuple(dict.fromkeys((*self.zone_order, *(host.zone for host in self.hosts))))

    def share(self, zone: str) -> IPv4Network:
        """A zone's part of the pod network, which holds the blocks of all its hosts: the rule of
        the agent's own layout."""
        bits = (len(self.zones) - 1).bit_length()
        return tuple(self.network.pods.subnets(prefixlen_diff=bits))[self.zones.index(zone)]

    @property
    def balanced(self) -> bool:
        """Whether hosts reach the API servers by a balancer of their own. With one server it would
        be one more thing that can fail, and nothing to choose from."""
        return len(self.controllers) > 1

    @property
    def balancer_port(self) -> int:
        """Where each host's balancer listens, on loopback."""
        return 7443 if self.api_port != 7443 else 7444

    @property
    def nodes(self) -> tuple[Host, ...]:
        """Hosts for pods, in the inventory's order."""
        return tuple(host for host in self.hosts if host.is_node)

    @property
    def api_address(self) -> IPv4Address:
        """Where hosts reach the API server."""
        return self.controllers[0].address

    @property
    def kubeconfig(self) -> Path:
        """The operator's own kubeconfig, with the API server's published address."""
        return self.state / "kubeconfig"
