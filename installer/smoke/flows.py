"""The words of the smoke test: who talks to whom, over what, and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Actor = Literal["frontend", "other", "outsider", "backend", "node"]
"""Pods by what they play. `outsider` bears the frontend's labels in the other namespace; `node` is
on its host's own network, so what it sends is what the host sends."""
Transport = Literal["tcp", "udp", "icmp"]
Via = Literal["pod", "service", "host"]
"""Which address is dialled: the target pod's, that of a Service before it, its host's."""

PORT = 8080
OTHER_PORT = 8081
STREAM_PORT = 9000
SERVICE_PORT = 80
KUBELET_PORT = 10250
UDP_PORT = 40000
"""And upwards: no one listens there, so the target's kernel answers with port unreachable, if it
sees the probe."""


class Scope(str, Enum):
    """Whether both ends are on one host."""

    SAME = "same host"
    ACROSS = "across hosts"


class Expect(str, Enum):
    """What a check expects of each of its flows; the values are shown, in narrow columns.

    `BLOCKED` means silence: a denied probe times out, it is not refused. `SOURCE`: the server sees
    the pod's own address. `CUT`: the connection's counter stops at both ends. `HEALTHY`: ready
    throughout, and no restart.
    """

    CONNECTS = "connects"
    BLOCKED = "no answer"
    SOURCE = "own address"
    CUT = "counter stops"
    HEALTHY = "probes pass"


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection that is tried: the actors, the transport, the target's port (0 for ICMP)."""

    source: Actor
    target: Actor = "backend"
    port: int = PORT
    transport: Transport = "tcp"
    via: Via = "pod"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report for each scope. A `timed` check is polled densely, since its change
    has to take effect within the limit."""

    title: str
    expect: Expect
    flows: tuple[Flow, ...]
    timed: bool = False
    only: Scope | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy of the test's first namespace."""

    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Phase:
    """Policies in force and what has to hold under them.

    `sudden` phases change one policy only: a flow that is blocked before and after must not
    connect in between either. `streams` are opened when the phase's checks are done.
    """

    title: str
    policies: tuple[Policy, ...]
    checks: tuple[Check, ...]
    sudden: bool = True
    streams: tuple[Flow, ...] = ()


def udp(source: Actor, target: Actor = "backend") -> Flow:
    """A UDP datagram to a closed port."""
    return Flow(source, target, UDP_PORT, "udp")


def icmp(source: Actor, target: Actor = "backend") -> Flow:
    """An ICMP echo request."""
    return Flow(source, target, 0, "icmp")


def service(source: Actor, target: Actor = "backend") -> Flow:
    """TCP to the address of the Service before the target."""
    return Flow(source, target, via="service")


def host(source: Actor, target: Actor = "backend") -> Flow:
    """TCP to the kubelet of the target's host, which listens on every node."""
    return Flow(source, target, KUBELET_PORT, via="host")


def other_port(source: Actor, target: Actor = "backend") -> Flow:
    """TCP to the target's second port."""
    return Flow(source, target, OTHER_PORT)


def stream(source: Actor, target: Actor = "backend") -> Flow:
    """A long-lived TCP connection to the target's echo."""
    return Flow(source, target, STREAM_PORT)
