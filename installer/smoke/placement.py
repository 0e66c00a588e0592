"""Where the test's pods run, and which probes a flow comes to there. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from installer.smoke.flows import (
    PORT,
    SERVICE_PORT,
    Actor,
    Flow,
    Scope,
)

MAX_HOSTS = 8
"""On larger clusters as many hosts are taken, spread over the zones: the run stays short."""
_ZONE = "topology.kubernetes.io/zone"
_UDP_PORTS = 20000
_UNFIT = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node that takes part, by name and address."""

    node: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One pod of the test. `namespace` is "a" or "b"."""

    actor: Actor
    name: str
    namespace: str
    role: str
    site: Site

    @property
    def serves(self) -> bool:
        """Whether it has servers; a pod on the host's network must not open ports there."""
        return self.actor != "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A flow between two pods. `control` ones prove that the target's server is alive: it asks
    itself, past the network."""

    number: int
    flow: Flow
    source: Player
    target: Player
    control: bool = False

    @property
    def id(self) -> str:
        """What tells it from all others of a run: a tag of lines, a part of file names."""
        return f"{'c' if self.control else 'p'}{self.number}"

    @property
    def scope(self) -> Scope:
        """Whether the two are on one host."""
        return Scope.SAME if self.source.site == self.target.site else Scope.ACROSS

    def __str__(self) -> str:
        port = f"{self.flow.transport}/{self.flow.port}" if self.flow.port else "icmp"
        via = "" if self.flow.via == "pod" else f" ({self.flow.via})"
        ends = f"{self.source.name}@{self.source.site.node} -> {self.target.name}"
        return f"{ends}@{self.target.site.node} {port}{via}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Addresses of pods and of the Services before them, by the pod's name."""

    pods: Mapping[str, str]
    services: Mapping[str, str]


def sites(nodes: Iterable[Mapping[str, Any]]) -> tuple[Site, ...]:
    """The nodes to test, of a NodeList's items: those that are ready, and of them those that take
    any pod, unless there are none such; zones take turns."""
    ready = [node for node in nodes if _ready(node)]
    usable = [node for node in ready if _schedulable(node)] or ready
    zones: dict[str, list[Site]] = defaultdict(list)
    for node in sorted(usable, key=lambda node: str(node["metadata"]["name"])):
        zone = node["metadata"].get("labels", {}).get(_ZONE, "")
        zones[zone].append(Site(node=node["metadata"]["name"], address=_internal(node)))
    turns = [(turn, zone, site) for zone, found in zones.items() for turn, site in enumerate(found)]
    return tuple(site for _, _, site in sorted(turns, key=lambda t: t[:2])[:MAX_HOSTS])


def players(where: tuple[Site, ...]) -> tuple[Player, ...]:
    """The pods: a backend on every host, the others on the first, so that each flow between a
    backend and another is there within one host and across hosts."""
    first = where[0]
    backends = (
        Player(actor="backend", name=f"backend-{i}", namespace="a", role="backend", site=site)
        for i, site in enumerate(where, start=1)
    )
    return (
        Player(actor="frontend", name="frontend", namespace="a", role="frontend", site=first),
        Player(actor="other", name="other", namespace="a", role="other", site=first),
        Player(actor="outsider", name="outsider", namespace="b", role="frontend", site=first),
        Player(actor="node", name="node", namespace="b", role="other", site=first),
        *backends,
    )


def probes(flow: Flow, pods: tuple[Player, ...], numbers: Iterator[int]) -> tuple[Probe, ...]:
    """A flow between all pods that play its two actors; they take the next numbers."""
    return tuple(
        Probe(number=next(numbers), flow=flow, source=source, target=target)
        for source in pods
        if source.actor == flow.source
        for target in pods
        if target.actor == flow.target
    )


def control(probe: Probe) -> Probe:
    """The probe that must connect for a blocked one to mean anything: the target asks itself on
    the same port."""
    flow = probe.flow
    port = PORT if flow.via == "service" else flow.port
    own = Flow(flow.target, flow.target, port, flow.transport)
    target = probe.target
    return Probe(number=probe.number, flow=own, source=target, target=target, control=True)


def destination(probe: Probe, addresses: Addresses) -> tuple[str, int]:
    """The address and the port that a probe dials."""
    if probe.flow.via == "host":
        return probe.target.site.address, probe.flow.port
    if probe.flow.via == "service":
        return addresses.services[probe.target.name], SERVICE_PORT
    # Each UDP probe has a port of its own: an answer names the port only, not the sender's.
    port = probe.flow.port + (2 * probe.number % _UDP_PORTS if probe.flow.transport == "udp" else 0)
    return addresses.pods[probe.target.name], port


def _ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _schedulable(node: Mapping[str, Any]) -> bool:
    spec = node.get("spec", {})
    tainted = any(taint.get("effect") in _UNFIT for taint in spec.get("taints") or ())
    return not spec.get("unschedulable") and not tainted


def _internal(node: Mapping[str, Any]) -> str:
    listed = node["status"]["addresses"]
    found = [str(a["address"]) for a in listed if a["type"] == "InternalIP"]
    return next((a for a in found if _is_ipv4(a)), found[0])


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
