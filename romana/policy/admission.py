"""The compiled form: what each local endpoint admits. One form, from which the kernel's tables are
rendered, `explain` answers and `verify` proves; it knows neither Kubernetes nor the kernel.

An endpoint that no policy isolates in a direction has no program there and admits everything.
Endpoints that are isolated by the same policies (and resolve the same named ports) share one
program. A program is a set of grants; its cost in the kernel is a fixed number of lookups however
many policies or grants it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from romana.objects import Address, Key

ANY_PROTOCOL = 0
"""Protocol number that stands for every protocol (0 is HOPOPT, never a payload of its own)."""


class Direction(str, Enum):
    """Seen from the endpoint: ingress is what arrives at it."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Grant(NamedTuple):
    """Admitted traffic: the peers `low`..`high` (addresses as integers, both ends included) of one
    address family (4 or 6), one IP protocol number, ports `port_low`..`port_high` of the
    destination. ANY_PROTOCOL goes with ports 0..65535. Where `low == high` the peer is a host (as a
    rule a pod); hosts are never merged into intervals."""

    family: int
    low: int
    high: int
    protocol: int
    port_low: int
    port_high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What endpoints isolated by `policies` in one direction admit.

    `name` is a short digest of which policies these are (and of the ports that their names stand
    for), so that a change of grants does not rename it. Grants are canonical: they depend on the
    objects alone. Those of hosts are disjoint, those of longer intervals are, and none holds
    another; the exact form is described in `compile.py`. The program that admits nothing because
    its endpoint's pod is not known has no policies."""

    name: str
    direction: Direction
    policies: tuple[Key, ...]
    grants: frozenset[Grant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A pod's interface on this host: the host's side of the veth, and the pod's addresses."""

    interface: str
    addresses: tuple[Address, ...]
    pod: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPrograms:
    """Names of the programs that judge an endpoint; None where no policy isolates it there."""

    endpoint: Endpoint
    ingress: str | None = None
    egress: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The whole of a host: its endpoints by interface name, and the programs they use, by name."""

    endpoints: Mapping[str, EndpointPrograms] = field(default_factory=dict)
    programs: Mapping[str, Program] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The first packet of a connection, after destination NAT. `protocol` is the IP protocol
    number; `port` is the destination port, 0 where the protocol has none."""

    source: Address
    destination: Address
    protocol: int
    port: int = 0
