"""Traffic by protocol and destination port, as a set of boxes in one canonical form."""

from __future__ import annotations

from collections.abc import Iterable

from romana.policy.admission import ANY_PROTOCOL
from romana.policy.intervals import Interval, union
from romana.policy.model import MAX_PORT

Box = tuple[int, int, int]
"""IP protocol number (or ANY_PROTOCOL), lowest and highest destination port."""

Traffic = tuple[Box, ...]
"""Sorted; the port ranges of one protocol disjoint and not adjacent; or EVERYTHING alone. Equal
sets are equal values."""

EVERYTHING: Traffic = ((ANY_PROTOCOL, 0, MAX_PORT),)
NOTHING: Traffic = ()


def traffic_of(boxes: Iterable[Box]) -> Traffic:
    """The canonical form of any boxes."""
    ports: dict[int, list[Interval]] = {}
    for protocol, low, high in boxes:
        if protocol == ANY_PROTOCOL:
            return EVERYTHING
        ports.setdefault(protocol, []).append((low, high))
    return tuple(
        (protocol, low, high) for protocol in sorted(ports) for low, high in union(ports[protocol])
    )


class TrafficSums:
    """Sums of traffic, each made once: a program adds the same few again for each of its peers."""

    def __init__(self) -> None:
        self._sums: dict[frozenset[Traffic], Traffic] = {}

    def total(self, parts: Iterable[Traffic]) -> Traffic:
        """What any of the parts admits. All at once: one after the other would take the square of
        their number."""
        distinct = frozenset(parts)
        if len(distinct) < 2:
            return next(iter(distinct), NOTHING)
        known = self._sums.get(distinct)
        if known is None:
            known = self._sums[distinct] = traffic_of(box for part in distinct for box in part)
        return known
