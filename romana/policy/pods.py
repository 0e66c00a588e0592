"""Which pods a set holds, and at which addresses: indexed and remembered, since many policies ask
for the same, and kept up to date as pods come and go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from romana.objects import Address, Key, Operator, Pod, Protocol, Selector, Snapshot
from romana.policy.admission import Endpoint
from romana.policy.model import PodSet

Host = tuple[int, int]
"""One address: its family (4 or 6) and its value."""

NamedPort = tuple[str, Protocol]


def host_of(address: Address) -> Host:
    """An address as a number."""
    return (address.version, int(address))


class PodIndex:
    """The pods of a snapshot that have addresses of their own.

    A pod on this host has the addresses of its endpoint (its lease), whatever its status says or
    does not say yet; no other pod has them, though a snapshot that lags may still claim so. Pods in
    their node's network are left out: see `PodSet.holds`.

    Args:
        snapshot: the cluster.
        endpoints: what is on this host.
    """

    def __init__(self, snapshot: Snapshot, endpoints: Iterable[Endpoint]) -> None:
        self._namespaces = snapshot.namespaces
        self._leases, self._holders = _leases(endpoints)
        self._claims: dict[Address, tuple[Pod, ...]] | None = None
        self._by_namespace: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in snapshot.pods.values():
            if not pod.host_network:
                self._by_namespace[pod.namespace].append(pod)
        self._by_label: dict[str, defaultdict[str, list[Pod]]] = {}
        self._by_port: defaultdict[NamedPort, list[Pod]] | None = None
        self._namespaces_of: dict[Selector, frozenset[str]] = {}
        self._pods_of: dict[PodSet, tuple[Pod, ...]] = {}
        self._hosts_of: dict[PodSet, tuple[Host, ...]] = {}
        self._host_of: dict[Key, tuple[Host, ...]] = {}

    def hosts(self, pod: Pod) -> tuple[Host, ...]:
        """A pod's addresses."""
        known = self._host_of.get(pod.key)
        if known is None:
            lease = self._leases.get(pod.key)
            addresses = (
                (each for each in pod.addresses if each not in self._holders)
                if lease is None
                else lease
            )
            known = self._host_of[pod.key] = tuple(host_of(each) for each in addresses)
        return known

    def hosts_in(self, pods: PodSet) -> tuple[Host, ...]:
        """The addresses of all pods in a set."""
        known = self._hosts_of.get(pods)
        if known is None:
            known = self._hosts_of[pods] = tuple(
                host for pod in self.pods_in(pods) for host in self.hosts(pod)
            )
        return known

    def pods_in(self, pods: PodSet) -> tuple[Pod, ...]:
        """The pods in a set."""
        known = self._pods_of.get(pods)
        if known is None:
            known = self._pods_of[pods] = tuple(
                pod for pod in self._candidates(pods) if pods.pods.matches(pod.labels)
            )
        return known

    def pods_with(self, port: NamedPort) -> Iterable[Pod]:
        """The pods that name a port so, for the protocol."""
        if self._by_port is None:
            by_port: defaultdict[NamedPort, list[Pod]] = defaultdict(list)
            for pod in self._all():
                for key in _names(pod):
                    by_port[key].append(pod)
            self._by_port = by_port
        return self._by_port.get(port, ())

    def pods_of(self, namespace: str) -> Iterable[Pod]:
        """The pods of a namespace."""
        return self._by_namespace.get(namespace, ())

    def prepare(self) -> None:
        """Look up beforehand what the first change would look up."""
        self._claimed()

    def claiming(self, address: Address) -> Iterator[Key]:
        """The pods that an address may belong to: by a lease, or as their status says."""
        yield from self._holders.get(address, ())
        for pod in self._claimed().get(address, ()):
            yield pod.key

    def at(self, host: Host) -> Iterator[Key]:
        """The pods that have an address (several, while a snapshot lags)."""
        address = _ADDRESS[host[0]](host[1])
        if address in self._holders:
            yield from self._holders[address]
            return
        for pod in self._claimed().get(address, ()):
            if pod.key not in self._leases:
                yield pod.key

    def change(
        self,
        snapshot: Snapshot,
        endpoints: Iterable[Endpoint],
        pods: Iterable[tuple[Pod | None, Pod | None]],
        forgotten: Collection[PodSet],
    ) -> None:
        """Go over to another snapshot.

        Args:
            snapshot: the cluster now.
            endpoints: what is on this host now.
            pods: each that changes, or whose namespace, lease or rival for an address does: as it
                was, as it is.
            forgotten: the sets that hold any of them, before or after.
        """
        self._leases, self._holders = _leases(endpoints)
        self._namespaces = snapshot.namespaces
        for old, new in pods:
            self._remove(old)
            self._insert(new)
        self.drop(forgotten)

    def drop(self, sets: Iterable[PodSet]) -> None:
        """Forget what sets hold."""
        for each in sets:
            self._pods_of.pop(each, None)
            self._hosts_of.pop(each, None)

    def recheck(self, namespaces: Iterable[str]) -> None:
        """Ask again which selectors choose namespaces, whose labels or first pod are new."""
        asked = frozenset(namespaces)
        for selector, names in self._namespaces_of.items() if asked else ():
            pods = PodSet(namespaces=selector)
            holds = {each for each in asked if pods.holds_namespace(each, self._namespaces)}
            self._namespaces_of[selector] = (names - asked) | holds

    def _claimed(self) -> dict[Address, tuple[Pod, ...]]:
        if self._claims is None:
            claims = self._claims = {}
            for pod in self._all():
                for address in pod.addresses:
                    claims[address] = (*claims.get(address, ()), pod)
        return self._claims

    def _insert(self, pod: Pod | None) -> None:
        if pod is None or pod.host_network:
            return
        claims = self._claimed()
        for found in self._lists(pod):
            found.append(pod)
        for address in pod.addresses:
            claims[address] = (*claims.get(address, ()), pod)

    def _remove(self, pod: Pod | None) -> None:
        if pod is None or pod.host_network:
            return
        claims = self._claimed()
        self._host_of.pop(pod.key, None)
        for found in self._lists(pod):
            found[:] = _without(pod, found)
        for address in pod.addresses:
            rest = tuple(_without(pod, claims.pop(address, ())))
            if rest:
                claims[address] = rest

    def _lists(self, pod: Pod) -> Iterator[list[Pod]]:
        """The lists that a pod is in."""
        yield self._by_namespace[pod.namespace]
        for key, by_value in self._by_label.items():
            if key in pod.labels:
                yield by_value[pod.labels[key]]
        if self._by_port is not None:
            for name in _names(pod):
                yield self._by_port[name]

    def _all(self) -> Iterator[Pod]:
        return (pod for pods in self._by_namespace.values() for pod in pods)

    def _candidates(self, pods: PodSet) -> Iterator[Pod]:
        """Pods of the right namespaces that fulfil at least one condition on labels, if any can be
        looked up."""
        names = self._matching_namespaces(pods)
        wanted = next((r for r in pods.pods.requirements if r.operator is Operator.IN), None)
        there = [self._by_namespace.get(name, ()) for name in names]
        if wanted is not None and len(names) > 1:
            labelled = self._labelled(wanted.key)
            found = [labelled.get(value, ()) for value in set(wanted.values)]
            if sum(map(len, found)) < sum(map(len, there)):
                return (pod for pods in found for pod in pods if pod.namespace in names)
        return (pod for pods in there for pod in pods)

    def _labelled(self, key: str) -> defaultdict[str, list[Pod]]:
        """The pods that have a label, by its value."""
        known = self._by_label.get(key)
        if known is None:
            by_value: defaultdict[str, list[Pod]] = defaultdict(list)
            for pod in self._all():
                value = pod.labels.get(key)
                if value is not None:
                    by_value[value].append(pod)
            known = self._by_label[key] = by_value
        return known

    def _matching_namespaces(self, pods: PodSet) -> frozenset[str]:
        if pods.namespace is not None:
            return frozenset((pods.namespace,))
        known = self._namespaces_of.get(pods.namespaces)
        if known is None:
            known = self._namespaces_of[pods.namespaces] = frozenset(
                name for name in self._by_namespace if pods.holds_namespace(name, self._namespaces)
            )
        return known


_ADDRESS: Mapping[int, Callable[[int], Address]] = {4: IPv4Address, 6: IPv6Address}


def _leases(
    endpoints: Iterable[Endpoint],
) -> tuple[Mapping[Key, tuple[Address, ...]], Mapping[Address, tuple[Key, ...]]]:
    """The addresses of each pod with an endpoint, and the pods of each such address."""
    leases: defaultdict[Key, tuple[Address, ...]] = defaultdict(tuple)
    holders: defaultdict[Address, tuple[Key, ...]] = defaultdict(tuple)
    for endpoint in endpoints:
        leases[endpoint.pod] += endpoint.addresses
        for address in endpoint.addresses:
            holders[address] += (endpoint.pod,)
    return dict(leases), dict(holders)


def _names(pod: Pod) -> set[NamedPort]:
    return {(each.name, each.protocol) for each in pod.ports}


def _without(pod: Pod, pods: Collection[Pod]) -> list[Pod]:
    """The others. The same value is as a rule the very same object, and found quickly so."""
    rest = [each for each in pods if each is not pod]
    if len(rest) < len(pods):
        return rest
    return [each for each in pods if each.key != pod.key]


def resolve(pod: Pod, port: NamedPort) -> tuple[int, ...]:
    """The numbers that a port name stands for on a pod. There are several where more than one of
    its containers uses the name; none where none does, or with another protocol only."""
    return tuple(sorted({each.port for each in pod.ports if (each.name, each.protocol) == port}))
