"""Peers that are prefixes: which addresses are admitted for which traffic, in one canonical form.

For each protocol and each destination port there is a set of addresses, in maximal intervals. The
same interval on neighbouring ports is one grant. Addresses admitted for every protocol are no part
of this. (Ports first, rather than addresses, so that one more prefix changes little beyond its own
grants, and nested prefixes with different ports do not multiply.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from romana.objects import IPBlock, Network
from romana.policy.admission import ANY_PROTOCOL
from romana.policy.intervals import Interval, Intervals, subtract, union
from romana.policy.model import EVERY_PORT
from romana.policy.traffic import Box, Traffic

ALL_ADDRESSES: dict[int, Intervals] = {4: ((0, 2**32 - 1),), 6: ((0, 2**128 - 1),)}
"""Every address there is, by address family."""

Part = tuple[Interval, Intervals]
"""Ports, and the addresses that may use them."""


def block_addresses(block: IPBlock) -> Intervals:
    """The addresses of a block, less its exceptions."""
    family = block.cidr.version
    cut = union(_ends(each) for each in block.exceptions if each.version == family)
    return subtract((_ends(block.cidr),), cut)


def _ends(network: Network) -> Interval:
    return (int(network.network_address), int(network.broadcast_address))


class NetworkGrants:
    """The canonical form of one address family.

    Args:
        admitted: addresses with the traffic they are admitted for; they may overlap.
    """

    def __init__(self, admitted: Iterable[tuple[Intervals, Traffic]]) -> None:
        everything: list[Interval] = []
        chosen: defaultdict[int, list[Part]] = defaultdict(list)
        for addresses, traffic in admitted:
            for protocol, low, high in traffic:
                if protocol == ANY_PROTOCOL:
                    everything.extend(addresses)
                else:
                    chosen[protocol].append(((low, high), addresses))
        whole = union(everything)
        self.grants: list[tuple[Interval, Box]] = [
            (interval, (ANY_PROTOCOL, *EVERY_PORT)) for interval in whole
        ]
        for protocol, parts in sorted(chosen.items()):
            self.grants.extend(
                (interval, (protocol, low, high)) for interval, (low, high) in _boxes(parts, whole)
            )
        self._covering: dict[Box, Intervals] = {}

    def covering(self, box: Box) -> Intervals:
        """The addresses in intervals of more than one, for which one grant holds the box."""
        known = self._covering.get(box)
        if known is None:
            known = self._covering[box] = union(
                (low, high)
                for (low, high), (protocol, port_low, port_high) in self.grants
                if low < high
                and protocol in (ANY_PROTOCOL, box[0])
                and port_low <= box[1]
                and port_high >= box[2]
            )
        return known


def _boxes(parts: list[Part], removed: Intervals) -> Iterator[tuple[Interval, Interval]]:
    """Disjoint intervals of addresses, each with its ports, less the addresses removed."""
    since: dict[Interval, int] = {}
    for port, addresses in _sweep(parts):
        current = frozenset(subtract(addresses, removed))
        for interval in [each for each in since if each not in current]:
            yield interval, (since.pop(interval), port - 1)
        for interval in current:
            since.setdefault(interval, port)


def _sweep(parts: list[Part]) -> Iterator[tuple[int, Intervals]]:
    """Each port where the addresses may change, in order, with those admitted from there on. The
    last has none."""
    starts: defaultdict[int, list[int]] = defaultdict(list)
    ends: defaultdict[int, list[int]] = defaultdict(list)
    for index, ((low, high), _) in enumerate(parts):
        starts[low].append(index)
        ends[high + 1].append(index)
    active: set[int] = set()
    for port in sorted({*starts, *ends}):
        active.difference_update(ends[port])
        active.update(starts[port])
        yield port, union(interval for index in active for interval in parts[index][1])
