"""From policies, pods and local endpoints to what each endpoint admits.

Only policies that select a local pod are expanded; endpoints that are isolated by the same policies
and resolve the named ports of those the same way share one program.

What counts
- A local pod has the addresses of its endpoint; every other pod those of its status.
- An endpoint whose pod is not known (yet), or is one in its node's network, is closed in both
  directions: `CLOSED`.
- Named ports are looked up on the pod that receives: the subject for ingress, each peer for egress,
  whichever way the peer was chosen (by labels, by ipBlock, or as any peer). A name that the pod
  does not use for that protocol admits nothing; one that several of its containers use, all theirs.
- ipBlock is about addresses, pods' addresses too. An exception is no deny: it is only not admitted
  by this block.
- A pod in its node's network is no subject, and no peer by labels: its address is its node's.

Canonical form of a program's grants
1. *Networks* come from ipBlocks and from "every peer". By family, protocol and port, the addresses
   form maximal intervals; an interval with a maximal range of ports on which it is the same is one
   grant. Addresses that are admitted for every protocol are apart from this: their intervals form
   grants with ANY_PROTOCOL, ports 0-65535. These grants are disjoint (`networks.py`).
2. *Hosts* are the addresses of pods, and the intervals of 1. that hold one address. Each has the
   sum of its traffic: ANY_PROTOCOL alone, or maximal disjoint ranges of ports by protocol. Hosts
   never merge into intervals, however close they are: a pod that comes or goes changes its own
   grants and no other. They have `low == high`.
3. A host's grant is left out where one grant of a longer interval holds it whole.
So hosts are disjoint, and networks are; a host's grant may overlap those of networks, but none of
them holds it. The form depends on the objects alone, not on their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from romana.objects import Key, Pod, Snapshot
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)
from romana.policy.grants import GrantTable, NamedPorts
from romana.policy.model import Entry, RomanaPolicy
from romana.policy.pods import NamedPort, PodIndex, resolve
from romana.policy.selection import PolicyIndex
from romana.policy.traffic import TrafficSums
from romana.policy.translate import Isolating, translate_direction

CLOSED: Mapping[Direction, Program] = {
    direction: Program(
        name=f"closed-{direction.value}", direction=direction, policies=(), grants=frozenset()
    )
    for direction in Direction
}
"""Admits nothing: for an endpoint whose pod is not known (yet)."""

NAME_BYTES = 8


def compile_admission(snapshot: Snapshot, endpoints: Iterable[Endpoint]) -> Admission:
    """What the local endpoints admit.

    Args:
        snapshot: the cluster.
        endpoints: this host's, with the addresses they hold. Where two have the same interface, the
            last counts.
    """
    return Compiler(snapshot, endpoints).admission()


class Compiler:
    """Compiles for one snapshot and one set of endpoints; remembers what it has looked up."""

    def __init__(self, snapshot: Snapshot, endpoints: Iterable[Endpoint]) -> None:
        self._snapshot = snapshot
        self._endpoints = {endpoint.interface: endpoint for endpoint in endpoints}
        self._pods = PodIndex(snapshot, self._endpoints.values())
        self._policies = PolicyIndex(snapshot, {each.pod[0] for each in self._endpoints.values()})
        self._translated: dict[tuple[type, Key, Direction], RomanaPolicy | None] = {}
        self._programs: dict[str, Program] = {}
        self._grants: dict[object, frozenset[Grant]] = {}
        self._sums = TrafficSums()

    def admission(self) -> Admission:
        """What every endpoint admits."""
        endpoints = {
            interface: self._judged(endpoint) for interface, endpoint in self._endpoints.items()
        }
        return Admission(endpoints=endpoints, programs=dict(sorted(self._programs.items())))

    def _judged(self, endpoint: Endpoint) -> EndpointPrograms:
        pod = self._snapshot.pods.get(endpoint.pod)
        if pod is None or pod.host_network:
            for program in CLOSED.values():
                self._programs[program.name] = program
            return EndpointPrograms(
                endpoint=endpoint,
                ingress=CLOSED[Direction.INGRESS].name,
                egress=CLOSED[Direction.EGRESS].name,
            )
        selecting = self._policies.selecting(pod)
        return EndpointPrograms(
            endpoint=endpoint,
            ingress=self._program(Direction.INGRESS, pod, selecting),
            egress=self._program(Direction.EGRESS, pod, selecting),
        )

    def _program(
        self, direction: Direction, pod: Pod, selecting: Iterable[Isolating]
    ) -> str | None:
        """The name of the program that judges a pod; None where no policy isolates it."""
        policies = tuple(
            translated
            for policy in selecting
            if (translated := self._translate(policy, direction)) is not None
        )
        if not policies:
            return None
        resolved = _resolved(pod, policies) if direction is Direction.INGRESS else None
        name = _name(direction, policies, resolved or {})
        if name not in self._programs:
            entries = frozenset(entry for policy in policies for entry in policy.entries)
            self._programs[name] = Program(
                name=name,
                direction=direction,
                policies=tuple(policy.origin.key for policy in policies),
                grants=self._granted(entries, resolved),
            )
        return name

    def _granted(self, entries: frozenset[Entry], resolved: NamedPorts | None) -> frozenset[Grant]:
        """What entries admit together. Namespaces often say the same: that is worked out, and kept
        in memory, once."""
        key = (entries, None if resolved is None else frozenset(resolved.items()))
        known = self._grants.get(key)
        if known is None:
            table = GrantTable(self._pods, self._sums, resolved)
            for entry in entries:
                table.add(entry)
            known = self._grants[key] = table.grants()
        return known

    def _translate(self, policy: Isolating, direction: Direction) -> RomanaPolicy | None:
        key = (type(policy), policy.key, direction)
        if key not in self._translated:
            labels = self._snapshot.segment_labels
            self._translated[key] = translate_direction(policy, direction, labels)
        return self._translated[key]


def _resolved(pod: Pod, policies: Iterable[RomanaPolicy]) -> NamedPorts:
    """The named ports that ingress policies use, as they are on the pod that receives."""
    names: set[NamedPort] = {
        (port, rule.protocol)
        for policy in policies
        for entry in policy.entries
        for rule in entry.rules
        if rule.protocol is not None
        for port in rule.ports or ()
        if isinstance(port, str)
    }
    return {name: resolve(pod, name) for name in names}


def _name(direction: Direction, policies: Iterable[RomanaPolicy], resolved: NamedPorts) -> str:
    """A digest of which policies and which named ports these are, not of what they say: a change of
    grants is then a change of elements, and the program stays in place."""
    parts = [direction.value, *(policy.name for policy in policies)]
    parts += sorted(
        f"{name}/{protocol.value}={','.join(map(str, ports))}"
        for (name, protocol), ports in resolved.items()
    )
    return blake2b("\n".join(parts).encode(), digest_size=NAME_BYTES).hexdigest()
