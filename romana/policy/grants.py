"""The grants of one program, summed over the entries of its policies. The canonical form that comes
out is described in `compile.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from romana.objects import Pod
from romana.policy.admission import ANY_PROTOCOL, Grant
from romana.policy.intervals import Intervals, contains
from romana.policy.model import EVERY_PORT, Entry, PodSet, PolicyPeer, PortRange, Rule
from romana.policy.networks import ALL_ADDRESSES, NetworkGrants, block_addresses
from romana.policy.pods import Host, NamedPort, PodIndex, resolve
from romana.policy.traffic import NOTHING, Box, Traffic, TrafficSums, traffic_of

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
        self._pods = pods
        self._sums = sums
        self._resolved = resolved
        self._hosts: dict[Host, Traffic] = {}
        self._networks: defaultdict[int, list[tuple[Intervals, Traffic]]] = defaultdict(list)

    def add(self, entry: Entry) -> None:
        """Admit what an entry describes."""
        traffic = self._numbered(entry.rules)
        if traffic:
            for peer in (None,) if entry.peers is None else entry.peers:
                self._add_peer(peer, traffic)
        if self._resolved is None:
            for name in _names(entry.rules):
                self._add_named(entry.peers, name)

    def _numbered(self, rules: Iterable[Rule]) -> Traffic:
        """The traffic that is the same for every peer."""
        return traffic_of(box for rule in rules for box in self._boxes(rule))

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

    def _add_peer(self, peer: PolicyPeer | None, traffic: Traffic) -> None:
        if isinstance(peer, PodSet):
            self._add_hosts(self._pods.hosts_in(peer), traffic)
        elif peer is None:
            for family, addresses in ALL_ADDRESSES.items():
                self._networks[family].append((addresses, traffic))
        else:
            self._networks[peer.cidr.version].append((block_addresses(peer), traffic))

    def _add_named(self, peers: tuple[PolicyPeer, ...] | None, name: NamedPort) -> None:
        """Admit a port name to those peers that are pods, to each as it is there."""
        for peer in (None,) if peers is None else peers:
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
        table, add = self._hosts, self._sums.add
        if not table:
            table.update(dict.fromkeys(hosts, traffic))
            return
        for host in hosts:
            old = table.get(host, NOTHING)
            table[host] = add(old, traffic) if old else traffic

    def grants(self) -> frozenset[Grant]:
        """The canonical form of all that was added."""
        networks = {family: NetworkGrants(parts) for family, parts in self._networks.items()}
        result = [
            Grant(family, low, high, *box)
            for family, each in networks.items()
            for (low, high), box in each.grants
            if low < high
        ]
        for family, each in networks.items():
            for (low, high), box in each.grants:
                if low == high:
                    self._add_hosts(((family, low),), (box,))
        result.extend(self._host_grants(networks))
        return frozenset(result)

    def _host_grants(self, networks: Mapping[int, NetworkGrants]) -> Iterator[Grant]:
        for (family, address), traffic in self._hosts.items():
            network = networks.get(family)
            for box in traffic:
                if network is None or not contains(network.covering(box), address):
                    yield Grant(family, address, address, *box)


def _names(rules: Iterable[Rule]) -> Iterator[NamedPort]:
    for rule in rules:
        if rule.protocol is not None:
            for port in rule.ports or ():
                if isinstance(port, str):
                    yield (port, rule.protocol)
