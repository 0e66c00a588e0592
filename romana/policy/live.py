"""Compiles one snapshot after another, each from the one before: what a change does not concern is
not looked at.

How a pod's change reaches the grants: hosts in a program are disjoint by address (see
`compile.py`), so grants of other addresses cannot change. For each program with a set that holds
the pod, before or after, the grants of its addresses are worked out as they were and as they are,
and exchanged. The following count as a change of a pod too: of its namespace, of its lease, and of
another pod's lease for an address that it claims.

Policies that change concern the endpoints of their namespace, and RomanaPolicies the endpoints that
they isolated or isolate now: those are judged again. A program that keeps its policies is not made
again.

`compile_admission` remains the judge: the result must be what it makes of the same objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from romana.objects import Address, Key, Namespace, NetworkPolicy, OperatorPolicy, Pod, Snapshot
from romana.policy.admission import Admission, Endpoint, Grant
from romana.policy.compile import Compiler
from romana.policy.grants import GrantTable
from romana.policy.model import PodSet
from romana.policy.pods import Host

MOST_PODS = 1000
"""Changed pods at once from which on everything is compiled anew: that costs no more then."""

Changed = Mapping[str, Collection[Key]]
"""Keys of the objects that are new, gone or different, by the name of their mapping in a
Snapshot."""


class Stale(Exception):
    """What was remembered does not fit what it should; everything must be compiled anew."""


class LiveCompiler:
    """Compiles whatever comes next. Used by one thread at a time."""

    def __init__(self) -> None:
        self._compiler: Compiler | None = None
        self.rebuilt = 0
        """How often everything has been compiled anew."""

    def compile(
        self, snapshot: Snapshot, endpoints: Iterable[Endpoint], changed: Changed | None
    ) -> Admission:
        """What the local endpoints admit.

        Args:
            snapshot: the cluster.
            endpoints: this host's.
            changed: what differs from the snapshot of the last call; None where that is not known.
        """
        endpoints = tuple(endpoints)
        compiler, self._compiler = self._compiler, None  # a failure leaves nothing half changed
        if (
            compiler is None
            or changed is None
            or not _change(compiler, snapshot, endpoints, changed)
        ):
            compiler = Compiler(snapshot, endpoints)
            compiler.pods.prepare()
            self.rebuilt += 1
        self._compiler = compiler
        return compiler.admission()

    def holders(self, address: Address) -> tuple[Key, ...]:
        """The pods that an address may belong to; none that is known while something is being
        compiled."""
        return tuple(self._compiler.pods.claiming(address)) if self._compiler else ()


@dataclass(frozen=True, slots=True)
class _State:
    """A pod as it was, or is: its addresses, and the sets that hold it."""

    pod: Pod | None
    hosts: tuple[Host, ...]
    sets: frozenset[PodSet]


def _change(
    compiler: Compiler, snapshot: Snapshot, endpoints: tuple[Endpoint, ...], changed: Changed
) -> bool:
    """Go over to another snapshot; whether that could be done."""
    if snapshot.segment_labels != compiler.snapshot.segment_labels:
        return False
    wanted = {each.interface: each for each in endpoints}
    moved = {
        name
        for name in compiler.endpoints.keys() | wanted.keys()
        if compiler.endpoints.get(name) != wanted.get(name)
    }
    leases = [
        each for name in moved for each in (compiler.endpoints.get(name), wanted.get(name)) if each
    ]
    touched = frozenset(_touched(compiler, leases, changed))
    if len(touched) > MOST_PODS:
        return False
    before = {key: _state(compiler, key) for key in touched}
    again = _namespaces_to_look_at(compiler, wanted.values(), changed)
    _replace_objects(compiler, snapshot, wanted, before, changed)
    after = {key: _state(compiler, key) for key in touched}
    try:
        compiler.regranted(_exchange(compiler, before, after))
    except Stale:
        return False
    compiler.policies.refresh(snapshot, again)
    compiler.policies.keep(compiler.namespaces)
    targeted = compiler.policies.retarget(snapshot, changed.get("operator_policies", ()))
    compiler.judge_again(
        {name for name, each in wanted.items() if each.pod in touched or each.pod[0] in again}
        | set(_isolated(compiler, wanted, targeted))
        | moved
    )
    return True


def _isolated(
    compiler: Compiler, endpoints: Mapping[str, Endpoint], sets: Collection[PodSet]
) -> Iterator[str]:
    """The endpoints whose pods are in one of the sets."""
    distinct = frozenset(sets)
    known = compiler.snapshot.namespaces
    for name, each in endpoints.items() if distinct else ():
        pod = compiler.snapshot.pods.get(each.pod)
        if pod is not None and any(pods.holds(pod, known) for pods in distinct):
            yield name


def _touched(compiler: Compiler, leases: Iterable[Endpoint], changed: Changed) -> Iterator[Key]:
    """The pods that may be other peers than before."""
    yield from changed.get("pods", ())
    for each in leases:
        yield each.pod
        for address in each.addresses:
            yield from compiler.pods.claiming(address)
    for _, name in changed.get("namespaces", ()):
        for pod in compiler.pods.pods_of(name):
            yield pod.key


def _namespaces_to_look_at(
    compiler: Compiler, endpoints: Iterable[Endpoint], changed: Changed
) -> frozenset[str]:
    """This host's namespaces whose policies may be others than before."""
    local = frozenset(each.pod[0] for each in endpoints)
    names = {namespace for namespace, _ in changed.get("policies", ())}
    names.update(name for _, name in changed.get("namespaces", ()))
    names.update(name for name in local if name not in compiler.policies)
    return local & names


def _replace_objects(
    compiler: Compiler,
    snapshot: Snapshot,
    endpoints: dict[str, Endpoint],
    before: Mapping[Key, _State],
    changed: Changed,
) -> None:
    names = {name for _, name in changed.get("namespaces", ())}
    names.update(name for name, _ in before if not compiler.pods.pods_of(name))
    sets = {each for state in before.values() for each in state.sets}
    pods = []
    for key, state in before.items():
        new = snapshot.pods.get(key)
        pods.append((state.pod, new))
        if new is not None:
            sets |= compiler.peers.holding(new, snapshot.namespaces)
    compiler.pods.change(snapshot, endpoints.values(), pods, sets)
    compiler.pods.recheck(names)
    compiler.snapshot, compiler.endpoints = snapshot, endpoints
    for key in changed.get("policies", ()):
        compiler.forget(NetworkPolicy, key)
    for key in changed.get("operator_policies", ()):
        compiler.forget(OperatorPolicy, key)
    for key in changed.get("namespaces", ()):
        compiler.forget(Namespace, key)
    # A policy of extensions/v1beta1 is another one once its namespace isolates.
    spaces = {name for _, name in changed.get("namespaces", ())}
    for key in [each for each in snapshot.policies if each[0] in spaces] if spaces else ():
        compiler.forget(NetworkPolicy, key)


def _state(compiler: Compiler, key: Key) -> _State:
    pod = compiler.snapshot.pods.get(key)
    if pod is None or pod.host_network:
        return _State(pod, (), frozenset())
    sets = compiler.peers.holding(pod, compiler.snapshot.namespaces)
    return _State(pod, compiler.pods.hosts(pod), sets)


def _exchange(
    compiler: Compiler, before: Mapping[Key, _State], after: Mapping[Key, _State]
) -> set[GrantTable]:
    """Exchange the grants of the hosts of changed pods; whose grants are others now."""
    concerned: defaultdict[GrantTable, set[Host]] = defaultdict(set)
    for key, was in before.items():
        now = after[key]
        hosts = {*was.hosts, *now.hosts}
        for table in compiler.peers.concerned(was.sets | now.sets) if hosts else ():
            concerned[table] |= hosts
    every = {host for hosts in concerned.values() for host in hosts}
    others = {host: list(_others(compiler, host, before)) for host in every}
    were, are = _by_host(before), _by_host(after)
    different = set()
    for table, hosts in concerned.items():
        gone: set[Grant] = set()
        new: set[Grant] = set()
        for host in hosts:
            gone |= table.at(host, (*others[host], *were.get(host, ())))
            new |= table.at(host, (*others[host], *are.get(host, ())))
        if not gone <= table.current:
            raise Stale
        if gone != new:
            table.current = (table.current - (gone - new)) | (new - gone)
            different.add(table)
    return different


Claim = tuple[Pod, frozenset[PodSet]]


def _by_host(states: Mapping[Key, _State]) -> Mapping[Host, list[Claim]]:
    found: defaultdict[Host, list[Claim]] = defaultdict(list)
    for state in states.values():
        if state.pod is not None:
            for host in state.hosts:
                found[host].append((state.pod, state.sets))
    return found


def _others(compiler: Compiler, host: Host, changed: Mapping[Key, _State]) -> Iterator[Claim]:
    """The pods that have an address, except the changed ones."""
    for key in compiler.pods.at(host):
        if key not in changed:
            state = _state(compiler, key)
            if state.pod is not None and not state.pod.host_network:
                yield state.pod, state.sets
