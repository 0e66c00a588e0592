"""Peers that are prefixes: which addresses are admitted for which traffic, in one canonical form.

For each protocol and each destination port there is a set of addresses. Neighbouring ports with the
same set are one slab; a slab with each interval of its addresses is one grant. Addresses admitted
for every protocol are no part of the slabs. (Slabs by port, rather than by address, so that one
more prefix changes the grants of its own addresses only, and nested prefixes with different ports
do not multiply.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from romana.objects import IPBlock, Network
from romana.policy.admission import ANY_PROTOCOL
from romana.policy.intervals import Interval, Intervals, subtract, union
from romana.policy.traffic import Box, Traffic

ALL_ADDRESSES: dict[int, Intervals] = {4: ((0, 2**32 - 1),), 6: ((0, 2**128 - 1),)}
"""Every address there is, by address family."""


class Slab(NamedTuple):
    """Ports `low` to `high` with the addresses that may use them."""

    low: int
    high: int
    addresses: Intervals


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
        parts: addresses with the traffic they are admitted for; they may overlap.
    """

    def __init__(self, parts: Iterable[tuple[Intervals, Traffic]]) -> None:
        everything: list[Interval] = []
        chosen: defaultdict[int, list[Slab]] = defaultdict(list)
        for addresses, traffic in parts:
            for protocol, low, high in traffic:
                if protocol == ANY_PROTOCOL:
                    everything.extend(addresses)
                else:
                    chosen[protocol].append(Slab(low, high, addresses))
        self.everything = union(everything)
        self.slabs = {
            protocol: tuple(_slabs(chosen[protocol], self.everything))
            for protocol in sorted(chosen)
        }
        self._covering: dict[Box, Intervals] = {}

    def grants(self) -> Iterator[tuple[Interval, Box]]:
        """Each interval of addresses with each box of traffic."""
        for interval in self.everything:
            yield interval, (ANY_PROTOCOL, 0, 65535)
        for protocol, slabs in self.slabs.items():
            for low, high, addresses in slabs:
                for interval in addresses:
                    yield interval, (protocol, low, high)

    def covering(self, box: Box) -> Intervals:
        """The addresses in an interval of more than one, for which one grant holds the box."""
        known = self._covering.get(box)
        if known is None:
            known = self._covering[box] = union(
                (low, high)
                for (low, high), (protocol, port_low, port_high) in self.grants()
                if low < high
                and protocol in (ANY_PROTOCOL, box[0])
                and port_low <= box[1]
                and port_high >= box[2]
            )
        return known


def _slabs(parts: list[Slab], everything: Intervals) -> Iterator[Slab]:
    """Sweep over the ports, from one where the addresses may change to the next."""
    starts: defaultdict[int, list[Slab]] = defaultdict(list)
    ends: defaultdict[int, list[Slab]] = defaultdict(list)
    for part in parts:
        starts[part.low].append(part)
        ends[part.high + 1].append(part)
    active: dict[int, Slab] = {}
    open_slab = Slab(0, 0, ())
    for port in sorted({*starts, *ends}):
        for part in ends[port]:
            del active[id(part)]
        active.update((id(part), part) for part in starts[port])
        addresses = union(interval for part in active.values() for interval in part.addresses)
        addresses = subtract(addresses, everything)
        if addresses == open_slab.addresses:
            continue
        if open_slab.addresses:
            yield open_slab._replace(high=port - 1)
        open_slab = Slab(port, port, addresses)
