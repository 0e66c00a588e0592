"""Who reaches whom, on which ports: between groups of pods, and between them and what is outside.
Exact, from the compiled form of every pod of the cluster.

Pods of one workload are one group where no policy tells them apart: they are judged by the same
programs, and every program of the cluster admits the same of each as a peer. One pair of pods then
stands for all pairs of two groups.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping

from romana.objects import Address, Key, Pod, Snapshot
from romana.policy.admission import ANY_PROTOCOL, Admission, Endpoint, Program
from romana.policy.compile import compile_admission
from romana.policy.connectivity import Directions, Group, Reach
from romana.policy.intervals import Intervals, union
from romana.policy.pods import Host, host_of
from romana.policy.space import (
    ANYTHING,
    EMPTY,
    NOTHING,
    Region,
    at,
    both,
    either,
    everything,
    join,
    minus,
    region_of,
    traffic,
)
from romana.policy.workloads import workload

FAMILIES = (4, 6)


def reach(
    snapshot: Snapshot, endpoints: Iterable[Endpoint] = (), namespace: str | None = None
) -> Reach:
    """Who reaches whom in a cluster.

    Args:
        snapshot: the cluster.
        endpoints: this host's, whose addresses count before a pod's status does.
        namespace: only what concerns its pods: they, whom they reach, and who reaches them.
    """
    world = World(snapshot, endpoints)
    groups = world.grouped({key: world.signature(key) for key in world.pods})
    return world.reach(groups, namespace)


class World:
    """Every pod of a cluster, compiled as its own host would.

    Args:
        snapshot: the cluster.
        endpoints: this host's.
    """

    def __init__(self, snapshot: Snapshot, endpoints: Iterable[Endpoint] = ()) -> None:
        leases: defaultdict[Key, list[Address]] = defaultdict(list)
        for endpoint in endpoints:
            leases[endpoint.pod].extend(endpoint.addresses)
        leased = {address for lease in leases.values() for address in lease}
        self.pods: dict[Key, Pod] = {}
        self._addresses: dict[Key, tuple[Address, ...]] = {}
        for key, pod in sorted(snapshot.pods.items()):
            own = tuple(leases.get(key) or (a for a in pod.addresses if a not in leased))
            if own and not pod.host_network:
                self.pods[key], self._addresses[key] = pod, own
        self._admission = compile_admission(
            snapshot,
            [
                Endpoint(interface="/".join(key), addresses=own, pod=key)
                for key, own in self._addresses.items()
            ],
        )
        self._regions = _regions(self._admission)
        self._hosts = {
            family: sorted(
                (int(each), key)
                for key, own in self._addresses.items()
                for each in own
                if each.version == family
            )
            for family in FAMILIES
        }
        self._runs = {
            family: union((number, number) for number, _ in hosts)
            for family, hosts in self._hosts.items()
        }
        self._outer: dict[tuple[str | None, int], Region] = {}
        self._as_peer = self._peers()
        self._alike: dict[tuple[str | None, ...], bool] = {}

    def signature(self, key: Key) -> Hashable:
        """What tells pods of a workload apart; equal where nothing does."""
        programs = self._admission.endpoints["/".join(key)]
        families = frozenset(each.version for each in self._addresses[key])
        return (programs.ingress, programs.egress, families, self._as_peer.get(key, frozenset()))

    def grouped(self, signatures: Mapping[Key, Hashable]) -> tuple[Group, ...]:
        """The pods in groups of one workload and one signature."""
        found: defaultdict[tuple[Key, Hashable], list[Key]] = defaultdict(list)
        for key, signature in signatures.items():
            found[workload(self.pods[key]), signature].append(key)
        parts = Counter(name for name, _ in found)
        groups = [
            Group(name, tuple(sorted(keys)), parts[name] == 1) for (name, _), keys in found.items()
        ]
        return tuple(sorted(groups, key=lambda each: (each.workload, each.pods)))

    def reach(self, groups: tuple[Group, ...], namespace: str | None = None) -> Reach:
        """Who reaches whom, between groups of pods that nothing tells apart; of a namespace, only
        what concerns it."""
        inside = frozenset(
            index
            for index, each in enumerate(groups)
            if namespace is None or each.workload[0] == namespace
        )
        between = {
            (i, j): found
            for i, source in enumerate(groups)
            for j in (range(len(groups)) if i in inside else inside)
            if (found := self._between(source, groups[j]))
        }
        kept = sorted(inside.union(*between))
        place = {index: number for number, index in enumerate(kept)}
        groups = tuple(groups[index] for index in kept)
        return Reach(
            groups=groups,
            between={(place[i], place[j]): found for (i, j), found in between.items()},
            arriving=tuple(self.outside(each, True) for each in groups),
            leaving=tuple(self.outside(each, False) for each in groups),
            isolated=tuple(self._isolated(each) for each in groups),
            looked_at=frozenset(place[index] for index in inside),
        )

    def pair(self, source: Key, destination: Key) -> Intervals:
        """What may pass from one pod to another, by any of their addresses."""
        egress = self._programs(source)[1]
        ingress = self._programs(destination)[0]
        found = NOTHING
        for first in self._addresses[source]:
            for second in self._addresses[destination]:
                if first.version == second.version:
                    out = self._admitted(egress, host_of(second))
                    found = either(found, both(out, self._admitted(ingress, host_of(first))))
        return found

    def _between(self, source: Group, destination: Group) -> Intervals:
        first, second = source.pods[0], destination.pods[-1]
        return NOTHING if first == second else self.pair(first, second)

    def judges(self, group: Group, other: World) -> bool:
        """Whether the programs of a group admit the same in another world."""
        ours, theirs = self._programs(group.pods[0]), other._programs(group.pods[0])
        key = (*ours, *theirs)
        known = self._alike.get(key)
        if known is None:
            known = self._alike[key] = all(
                (one is None) == (two is None)
                and (
                    one is None
                    or two is None
                    or all(
                        self._regions[one, family] == other._regions[two, family]
                        for family in FAMILIES
                    )
                )
                for one, two in zip(ours, theirs, strict=True)
            )
        return known

    def outside(self, group: Group, incoming: bool) -> Directions:  # noqa: FBT001
        """The traffic with addresses that are no pod's, by family."""
        ingress, egress = self._programs(group.pods[0])
        name = ingress if incoming else egress
        families = {each.version for each in self._addresses[group.pods[0]]}
        return {
            family: self._without_pods(name, family) for family in FAMILIES if family in families
        }

    def _without_pods(self, name: str | None, family: int) -> Region:
        """What a program admits of addresses that are no pod's. Pods' own, which do not matter
        then, are as those around them: so they do not cut what is one."""
        known = self._outer.get((name, family))
        if known is not None:
            return known
        region = everything(family) if name is None else self._regions[name, family]
        around = []
        runs = self._runs[family]
        for low, high in runs:
            before, after = at(region, low - 1), at(region, high + 1)
            if before == after:
                around.append((low, high, before))
        outer = minus(region, tuple((low, high, ANYTHING) for low, high in runs))
        known = self._outer[name, family] = join(outer, region_of(around))
        return known

    def _isolated(self, group: Group) -> tuple[bool, bool]:
        ingress, egress = self._programs(group.pods[0])
        return ingress is not None, egress is not None

    def _programs(self, key: Key) -> tuple[str | None, str | None]:
        programs = self._admission.endpoints["/".join(key)]
        return programs.ingress, programs.egress

    def _admitted(self, program: str | None, peer: Host) -> Intervals:
        return ANYTHING if program is None else at(self._regions[program, peer[0]], peer[1])

    def _peers(self) -> dict[Key, frozenset[Hashable]]:
        """What the programs admit of each pod as a peer; what they admit of all pods alike tells
        nobody apart."""
        found: defaultdict[Key, set[Hashable]] = defaultdict(set)
        for (name, family), region in self._regions.items():
            hosts = self._hosts[family]
            for low, high, admitted in region:
                first, last = bisect_left(hosts, (low,)), bisect_right(hosts, (high + 1,))
                if last - first < len(hosts):
                    for _, key in hosts[first:last]:
                        found[key].add((name, family, admitted))
        return {key: frozenset(each) for key, each in found.items()}


def _regions(admission: Admission) -> dict[tuple[str, int], Region]:
    """What each program admits, by name and family."""
    made: dict[int, dict[int, Region]] = {}
    result: dict[tuple[str, int], Region] = {}
    for name, program in admission.programs.items():
        known = made.get(id(program.grants))
        if known is None:
            known = made[id(program.grants)] = dict(_by_family(program))
        for family in FAMILIES:
            result[name, family] = known.get(family, EMPTY)
    return result


def _by_family(program: Program) -> Iterator[tuple[int, Region]]:
    for family in FAMILIES:
        yield (
            family,
            region_of(
                (
                    each.low,
                    each.high,
                    ANYTHING
                    if each.protocol == ANY_PROTOCOL
                    else traffic((each.protocol,) * 2, (each.port_low, each.port_high)),
                )
                for each in program.grants
                if each.family == family
            ),
        )
