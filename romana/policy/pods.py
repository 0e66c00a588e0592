"""Which pods a set holds, and at which addresses, for one snapshot: indexed and remembered, since
many policies ask for the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

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
        self._leases: defaultdict[Key, list[Address]] = defaultdict(list)
        for endpoint in endpoints:
            self._leases[endpoint.pod].extend(endpoint.addresses)
        self._leased = frozenset(each for lease in self._leases.values() for each in lease)
        self._by_namespace: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in snapshot.pods.values():
            if not pod.host_network:
                self._by_namespace[pod.namespace].append(pod)
        self._by_label: dict[str, Mapping[str, list[Pod]]] = {}
        self._by_port: Mapping[NamedPort, list[Pod]] | None = None
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
                (each for each in pod.addresses if each not in self._leased)
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
                for key in {(each.name, each.protocol) for each in pod.ports}:
                    by_port[key].append(pod)
            self._by_port = by_port
        return self._by_port.get(port, ())

    def _all(self) -> Iterator[Pod]:
        return (pod for pods in self._by_namespace.values() for pod in pods)

    def _candidates(self, pods: PodSet) -> Iterator[Pod]:
        """Pods of the right namespaces that fulfil at least one condition on labels, if any can be
        looked up."""
        names = self._matching_namespaces(pods)
        wanted = next((r for r in pods.pods.requirements if r.operator is Operator.IN), None)
        if wanted is None or len(names) == 1:
            return (pod for name in names for pod in self._by_namespace.get(name, ()))
        labelled = self._labelled(wanted.key)
        found = (pod for value in set(wanted.values) for pod in labelled.get(value, ()))
        return (pod for pod in found if pod.namespace in names)

    def _labelled(self, key: str) -> Mapping[str, list[Pod]]:
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


def resolve(pod: Pod, port: NamedPort) -> tuple[int, ...]:
    """The numbers that a port name stands for on a pod. There are several where more than one of
    its containers uses the name; none where none does, or with another protocol only."""
    return tuple(sorted({each.port for each in pod.ports if (each.name, each.protocol) == port}))
