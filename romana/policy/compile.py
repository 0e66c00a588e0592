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

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from operator import is_

from romana.objects import Key, Pod, Snapshot
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Program,
)
from romana.policy.grants import GrantTable, NamedPorts
from romana.policy.model import Entry, RomanaPolicy
from romana.policy.peers import PeerIndex
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


@dataclass(frozen=True, slots=True)
class _Made:
    """A program, and what it was made of."""

    program: Program
    policies: tuple[RomanaPolicy, ...]
    source: object
    table: GrantTable


class Compiler:
    """Compiles for one snapshot and one set of endpoints; remembers what it has looked up, so that
    `change` can go over to another snapshot (see `live.py`)."""

    def __init__(self, snapshot: Snapshot, endpoints: Iterable[Endpoint]) -> None:
        self.snapshot = snapshot
        self.endpoints = {endpoint.interface: endpoint for endpoint in endpoints}
        self.pods = PodIndex(snapshot, self.endpoints.values())
        self.policies = PolicyIndex(snapshot, self.namespaces)
        self.peers = PeerIndex()
        self._translated: dict[tuple[type, Key, Direction], RomanaPolicy | None] = {}
        self._made: dict[str, _Made] = {}
        self._tables: dict[object, GrantTable] = {}
        self._sums = TrafficSums()
        self._judged = {name: self._judge(each) for name, each in self.endpoints.items()}

    @property
    def namespaces(self) -> frozenset[str]:
        """Those of this host's pods."""
        return frozenset(each.pod[0] for each in self.endpoints.values())

    def admission(self) -> Admission:
        """What every endpoint admits."""
        programs = {
            name: self._made[name].program if name in self._made else _CLOSED_NAMES[name]
            for name in sorted(self._used())
        }
        return Admission(endpoints=self._judged, programs=programs)

    def forget(self, kind: type, key: Key) -> None:
        """Take notice that an object that isolates is another one now."""
        for direction in Direction:
            self._translated.pop((kind, key, direction), None)

    def judge_again(self, interfaces: Iterable[str]) -> None:
        """Work out again which programs judge endpoints that have changed in any way, or are gone,
        and forget the programs that no endpoint has any more."""
        again = {
            name: self._judge(self.endpoints[name]) for name in interfaces if name in self.endpoints
        }
        if any(self._judged.get(name) != again.get(name) for name in interfaces):
            # Others may hold the mapping of before.
            self._judged = {name: again.get(name) or self._judged[name] for name in self.endpoints}
        used = self._used()
        self._made = {name: made for name, made in self._made.items() if name in used}
        sources = {made.source for made in self._made.values()}
        for source in [each for each in self._tables if each not in sources]:
            self.pods.drop(self.peers.remove(self._tables.pop(source)))

    def regranted(self, tables: Collection[GrantTable]) -> None:
        """Take notice that grants have changed."""
        for name, made in self._made.items():
            if made.table in tables:
                program = replace(made.program, grants=made.table.current)
                self._made[name] = replace(made, program=program)

    def _used(self) -> set[str]:
        both = ((each.ingress, each.egress) for each in self._judged.values())
        return {name for names in both for name in names if name is not None}

    def _judge(self, endpoint: Endpoint) -> EndpointPrograms:
        pod = self.snapshot.pods.get(endpoint.pod)
        if pod is None or pod.host_network:
            return EndpointPrograms(
                endpoint=endpoint,
                ingress=CLOSED[Direction.INGRESS].name,
                egress=CLOSED[Direction.EGRESS].name,
            )
        selecting = self.policies.selecting(pod)
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
        made = self._made.get(name)
        if made is None or not all(map(is_, made.policies, policies)):
            self._made[name] = self._make(name, direction, policies, resolved)
        return name

    def _make(
        self,
        name: str,
        direction: Direction,
        policies: tuple[RomanaPolicy, ...],
        resolved: NamedPorts | None,
    ) -> _Made:
        entries = frozenset(entry for policy in policies for entry in policy.entries)
        source = (entries, None if resolved is None else frozenset(resolved.items()))
        table = self._tables.get(source)
        if table is None:
            table = self._tables[source] = self._summed(entries, resolved)
        program = Program(
            name=name,
            direction=direction,
            policies=tuple(policy.origin.key for policy in policies),
            grants=table.current,
        )
        return _Made(program, policies, source, table)

    def _summed(self, entries: Iterable[Entry], resolved: NamedPorts | None) -> GrantTable:
        """What entries admit together. Namespaces often say the same: that is worked out, and kept
        in memory, once."""
        table = GrantTable(self.pods, self._sums, resolved)
        for entry in entries:
            table.add(entry)
        table.finish()
        self.peers.add(table)
        return table

    def _translate(self, policy: Isolating, direction: Direction) -> RomanaPolicy | None:
        key = (type(policy), policy.key, direction)
        if key not in self._translated:
            labels = self.snapshot.segment_labels
            self._translated[key] = translate_direction(policy, direction, labels)
        return self._translated[key]


_CLOSED_NAMES = {program.name: program for program in CLOSED.values()}


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
