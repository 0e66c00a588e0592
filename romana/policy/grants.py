"""The grants of one program, summed over the entries of its policies, as a whole or for a single
host. The canonical form that comes out is described in `compile.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from romana.objects import IPBlock, Pod
from romana.policy.admission import ANY_PROTOCOL, Grant
from romana.policy.intervals import Intervals, contains
from romana.policy.model import EVERY_PORT, Entry, PodSet, PolicyPeer, PortRange, Rule
from romana.policy.networks import ALL_ADDRESSES, NetworkGrants, block_addresses
from romana.policy.pods import Host, NamedPort, PodIndex, resolve
from romana.policy.traffic import Box, Traffic, TrafficSums, traffic_of

NamedPorts = Mapping[NamedPort, tuple[int, ...]]


class GrantTable:
    """Adds up entries.

    Args:
        pods: the pods of the snapshot.
        sums: shared with other tables, to add the same traffic once.
        resolved: what port names stand for on the subject, for ingress; None for egress, where each
            peer has its own.
    """

    def __init__(self, pods: PodIndex, sums: TrafficSums, resolved: NamedPorts | None) -> None:
        self.current: frozenset[Grant] = frozenset()
        self._pods = pods
        self._sums = sums
        self._resolved = resolved
        self._hosts: defaultdict[Host, list[Traffic]] = defaultdict(list)
        self._boxes_of: defaultdict[PodSet, list[Box]] = defaultdict(list)
        self._parts: defaultdict[int, list[tuple[Intervals, Traffic]]] = defaultdict(list)
        self._networks: Mapping[int, NetworkGrants] = {}
        self._singles: dict[Host, list[Traffic]] = {}
        self._numbered_of: dict[PodSet, Traffic] = {}
        self._named_of: defaultdict[PodSet, set[NamedPort]] = defaultdict(set)
        self._named_at: set[tuple[IPBlock | None, NamedPort]] = set()

    @property
    def sets(self) -> Iterable[PodSet]:
        """The sets of pods that are granted anything."""
        return self._numbered_of.keys() | self._named_of.keys()

    @property
    def by_address(self) -> bool:
        """Whether a pod that is in none of the sets may be granted something of its own: a port
        name."""
        return bool(self._named_at)

    def add(self, entry: Entry) -> None:
        """Admit what an entry describes."""
        # Of those that are the same for every peer.
        boxes = tuple(box for rule in entry.rules for box in self._boxes(rule))
        if boxes:
            for peer in (None,) if entry.peers is None else entry.peers:
                self._add_peer(peer, boxes)
        if self._resolved is None:
            for name in _names(entry.rules):
                self._add_named(entry.peers, name)

    def _boxes(self, rule: Rule) -> Iterator[Box]:
        if rule.protocol is None:
            yield (ANY_PROTOCOL, *EVERY_PORT)
            return
        number = rule.protocol.number
        for port in (EVERY_PORT,) if rule.ports is None else rule.ports:
            if isinstance(port, PortRange):
                yield (number, *port)
            elif self._resolved is not None:
                for resolved in self._resolved[port, rule.protocol]:
                    yield (number, resolved, resolved)

    def _add_peer(self, peer: PolicyPeer | None, boxes: tuple[Box, ...]) -> None:
        if isinstance(peer, PodSet):
            self._boxes_of[peer] += boxes
        elif peer is None:
            for family, addresses in ALL_ADDRESSES.items():
                self._parts[family].append((addresses, traffic_of(boxes)))
        else:
            self._parts[peer.cidr.version].append((block_addresses(peer), traffic_of(boxes)))

    def _add_named(self, peers: tuple[PolicyPeer, ...] | None, name: NamedPort) -> None:
        """Admit a port name to those peers that are pods, to each as it is there."""
        for peer in (None,) if peers is None else peers:
            if isinstance(peer, PodSet):
                if name in self._named_of[peer]:
                    continue
                self._named_of[peer].add(name)
            elif (peer, name) in self._named_at:
                continue
            else:
                self._named_at.add((peer, name))
            for pod, hosts in self._receivers(peer, name):
                ports = ((name[1].number, port, port) for port in resolve(pod, name))
                self._add_hosts(hosts, traffic_of(ports))

    def _receivers(
        self, peer: PolicyPeer | None, name: NamedPort
    ) -> Iterator[tuple[Pod, tuple[Host, ...]]]:
        """The pods that a peer stands for, with the addresses that it means."""
        if isinstance(peer, PodSet):
            for pod in self._pods.pods_in(peer):
                yield pod, self._pods.hosts(pod)
            return
        family = 0 if peer is None else peer.cidr.version
        block = () if peer is None else block_addresses(peer)
        for pod in self._pods.pods_with(name):
            hosts = self._pods.hosts(pod)
            if peer is not None:
                hosts = tuple(h for h in hosts if h[0] == family and contains(block, h[1]))
            yield pod, hosts

    def _add_hosts(self, hosts: Iterable[Host], traffic: Traffic) -> None:
        for host in hosts:
            self._hosts[host].append(traffic)

    def finish(self) -> frozenset[Grant]:
        """The canonical form of all that was added, `current` from now on. Nothing can be added any
        more, but hosts can change."""
        for peer, boxes in self._boxes_of.items():
            traffic = self._numbered_of[peer] = traffic_of(boxes)
            self._add_hosts(self._pods.hosts_in(peer), traffic)
        self._boxes_of.clear()
        self._networks = {family: NetworkGrants(parts) for family, parts in self._parts.items()}
        self._parts.clear()
        result = []
        for family, each in self._networks.items():
            for (low, high), box in each.grants:
                if low < high:
                    result.append(Grant(family, low, high, *box))
                else:
                    self._singles.setdefault((family, low), []).append((box,))
        for host, parts in self._singles.items():
            self._hosts[host] += parts
        for host, parts in self._hosts.items():
            result.extend(self._of_host(host, self._sums.total(parts)))
        self._hosts.clear()
        self.current = frozenset(result)
        return self.current

    def at(self, host: Host, pods: Iterable[tuple[Pod, frozenset[PodSet]]]) -> frozenset[Grant]:
        """The grants of one host.

        Args:
            host: in question.
            pods: those that have this address, each with the sets that hold it.
        """
        parts = list(self._singles.get(host, ()))
        for pod, sets in pods:
            parts += self._of_pod(host, pod, sets)
        return frozenset(self._of_host(host, self._sums.total(parts)))

    def _of_pod(self, host: Host, pod: Pod, sets: frozenset[PodSet]) -> Iterator[Traffic]:
        names: set[NamedPort] = set()
        for each in sets:
            if each in self._numbered_of:
                yield self._numbered_of[each]
            names |= self._named_of.get(each, frozenset())
        for block, name in self._named_at:
            if block is None or _holds(block, host):
                names.add(name)
        for name in names:
            yield traffic_of((name[1].number, port, port) for port in resolve(pod, name))

    def _of_host(self, host: Host, traffic: Traffic) -> Iterator[Grant]:
        """What of a host's traffic no network holds."""
        family, address = host
        network = self._networks.get(family)
        for box in traffic:
            if network is None or not contains(network.covering(box), address):
                yield Grant(family, address, address, *box)


def _holds(block: IPBlock, host: Host) -> bool:
    return block.cidr.version == host[0] and contains(block_addresses(block), host[1])


def _names(rules: Iterable[Rule]) -> Iterator[NamedPort]:
    for rule in rules:
        if rule.protocol is not None:
            for port in rule.ports or ():
                if isinstance(port, str):
                    yield (port, rule.protocol)
