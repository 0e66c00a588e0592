"""What a host's compiled form says about a flow: the same answer as its kernel gives, without it.
Used to find the connections that a change forbids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from romana.objects import Address
from romana.policy.admission import (
    ANY_PROTOCOL,
    Admission,
    EndpointPrograms,
    Flow,
    Grant,
)
from romana.policy.intervals import Interval, Intervals, contains, union
from romana.policy.pods import Host, host_of
from romana.policy.traffic import Box
from romana.policy.verdict import Judgement, Outcome, Verdict

OUTSIDE = Judgement(outcome=Outcome.OUTSIDE)
ITSELF = Judgement(outcome=Outcome.ITSELF)
NODE = Judgement(outcome=Outcome.NODE)
OPEN = Judgement(outcome=Outcome.OPEN)


def admits(admission: Admission, flow: Flow, node: Collection[Address] = ()) -> Verdict:
    """What a host's endpoints say about a flow. For many flows make one `Judge`.

    Args:
        admission: the host's compiled form.
        flow: to judge; a side whose address is no endpoint of this host is `OUTSIDE`.
        node: the host's own addresses, whose traffic to its pods is not judged.
    """
    return Judge(admission, node).verdict(flow)


class Judge:
    """Judges flows by one compiled form.

    Args:
        admission: the host's compiled form.
        node: the host's own addresses, whose traffic to its pods is not judged.
    """

    def __init__(self, admission: Admission, node: Collection[Address] = ()) -> None:
        self._admission = admission
        self._node = frozenset(node)
        self._tables: dict[str, GrantLookup] = {}
        self._owners = {
            address: programs
            for programs in admission.endpoints.values()
            for address in programs.endpoint.addresses
        }

    def verdict(self, flow: Flow) -> Verdict:
        """What both sides say."""
        source = self._owners.get(flow.source)
        destination = self._owners.get(flow.destination)
        if source is not None and source is destination:
            return Verdict(egress=ITSELF, ingress=ITSELF)
        return Verdict(egress=self._egress(source, flow), ingress=self._ingress(destination, flow))

    def _egress(self, source: EndpointPrograms | None, flow: Flow) -> Judgement:
        if source is None:
            return OUTSIDE
        return self._by_program(source.egress, flow.destination, flow)

    def _ingress(self, destination: EndpointPrograms | None, flow: Flow) -> Judgement:
        if destination is None:
            return OUTSIDE
        if flow.source in self._node:
            return NODE
        return self._by_program(destination.ingress, flow.source, flow)

    def _by_program(self, name: str | None, peer: Address, flow: Flow) -> Judgement:
        if name is None:
            return OPEN
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = GrantLookup(self._admission.programs[name].grants)
        admitted = table.admits(peer, flow.protocol, flow.port)
        outcome = Outcome.ADMITTED if admitted else Outcome.DENIED
        return Judgement(outcome=outcome, program=name)


class GrantLookup:
    """Grants arranged for lookup: hosts by address, networks by traffic and address."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        hosts: defaultdict[Host, list[Box]] = defaultdict(list)
        networks: defaultdict[tuple[int, Box], list[Interval]] = defaultdict(list)
        for family, low, high, *box in grants:
            protocol, port_low, port_high = box
            if low == high:
                hosts[family, low].append((protocol, port_low, port_high))
            else:
                networks[family, (protocol, port_low, port_high)].append((low, high))
        self._hosts = dict(hosts)
        self._networks: dict[tuple[int, Box], Intervals] = {
            key: union(intervals) for key, intervals in networks.items()
        }

    def admits(self, peer: Address, protocol: int, port: int) -> bool:
        """Whether a grant holds the peer with this protocol and destination port."""
        host = host_of(peer)
        if any(_holds(box, protocol, port) for box in self._hosts.get(host, ())):
            return True
        return any(
            family == host[0] and _holds(box, protocol, port) and contains(addresses, host[1])
            for (family, box), addresses in self._networks.items()
        )


def _holds(box: Box, protocol: int, port: int) -> bool:
    return box[0] in (ANY_PROTOCOL, protocol) and box[1] <= port <= box[2]
