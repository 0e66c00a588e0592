"""Sets of packets of one address family: addresses of the peer, each interval with its traffic.

Traffic is a set of numbers `protocol << 16 | port`, so that protocols and ports are one axis. Of
ICMP and ICMPv6 the type stands for the port. A Region is canonical: sorted, disjoint, neighbours
with the same traffic are one. So equal sets are equal values.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from romana.policy.intervals import Interval, Intervals, subtract, union

LAST_PORT = 0xFFFF
LAST_PROTOCOL = 0xFF
ANYTHING: Intervals = ((0, LAST_PROTOCOL << 16 | LAST_PORT),)
NOTHING: Intervals = ()
LAST_ADDRESS = {4: 2**32 - 1, 6: 2**128 - 1}

Part = tuple[int, int, Intervals]
"""First and last address, and their traffic."""

Region = tuple[Part, ...]
EMPTY: Region = ()
_NEVER: Part = (2**129, 2**129, NOTHING)
"""Stands behind a region's last part."""


@lru_cache(maxsize=65536)
def traffic(protocols: Interval, ports: Interval = (0, LAST_PORT)) -> Intervals:
    """Traffic of the protocols to the ports, ends included."""
    if ports == (0, LAST_PORT):
        return ((protocols[0] << 16, protocols[1] << 16 | LAST_PORT),)
    first, last = protocols
    return union((each << 16 | ports[0], each << 16 | ports[1]) for each in range(first, last + 1))


def everything(family: int, admitted: Intervals = ANYTHING) -> Region:
    """Every address with the same traffic."""
    return ((0, LAST_ADDRESS[family], admitted),) if admitted else EMPTY


@lru_cache(maxsize=65536)
def both(first: Intervals, second: Intervals) -> Intervals:
    """The traffic in both."""
    return subtract(first, subtract(first, second))


@lru_cache(maxsize=65536)
def either(first: Intervals, second: Intervals) -> Intervals:
    """The traffic in one or the other."""
    return union((*first, *second))


@lru_cache(maxsize=65536)
def without(first: Intervals, second: Intervals) -> Intervals:
    """The traffic in the first only."""
    return subtract(first, second)


def meet(first: Region, second: Region) -> Region:
    """The packets in both."""
    if not first or not second:
        return EMPTY
    low, high = max(first[0][0], second[0][0]), min(first[-1][1], second[-1][1])
    return _combine(within(first, low, high), within(second, low, high), both)


def join(first: Region, second: Region) -> Region:
    """The packets in one or the other."""
    return _combine(first, second, either) if first and second else first or second


def minus(first: Region, second: Region) -> Region:
    """The packets in the first only."""
    if not first or not second:
        return first
    return _combine(first, within(second, first[0][0], first[-1][1]), without)


def at(region: Region, address: int) -> Intervals:
    """The traffic of one address."""
    index = bisect_right(region, address, key=_low) - 1
    return region[index][2] if index >= 0 and address <= region[index][1] else NOTHING


def within(region: Region, low: int, high: int) -> Region:
    """The packets of the addresses `low` to `high`."""
    if not region or (low <= region[0][0] and region[-1][1] <= high):
        return region
    first = bisect_left(region, low, key=_high)
    last = bisect_right(region, high, key=_low)
    return tuple((max(a, low), min(b, high), each) for a, b, each in region[first:last])


def region_of(parts: Iterable[Part]) -> Region:
    """The union of any parts, overlapping and unsorted ones too."""
    same: dict[Interval, Intervals] = {}
    for low, high, each in parts:
        known = same.get((low, high))
        same[low, high] = each if known is None else either(known, each)
    ordered = sorted((low, high, each) for (low, high), each in same.items() if each)
    if any(second[0] <= first[1] for first, second in zip(ordered, ordered[1:], strict=False)):
        ordered = list(_flat(ordered))
    result: list[Part] = []
    for part in ordered:
        _append(result, *part)
    return tuple(result)


def _low(part: Part) -> int:
    return part[0]


def _high(part: Part) -> int:
    return part[1]


def _flat(ordered: list[Part]) -> Iterator[Part]:
    """Disjoint parts of sorted ones that overlap."""
    cuts = sorted({end for low, high, _ in ordered for end in (low, high + 1)})
    active: list[Part] = []
    following = 0
    for low, after in zip(cuts, cuts[1:], strict=False):
        active = [part for part in active if part[1] >= low]
        while following < len(ordered) and ordered[following][0] <= low:
            active.append(ordered[following])
            following += 1
        found = NOTHING
        for part in active:
            found = either(found, part[2])
        if found:
            yield low, after - 1, found


def _combine(
    first: Region, second: Region, operation: Callable[[Intervals, Intervals], Intervals]
) -> Region:
    """Both regions address by address."""
    result: list[Part] = []
    position, i, j = 0, 0, 0
    while i < len(first) or j < len(second):
        one = first[i] if i < len(first) else _NEVER
        two = second[j] if j < len(second) else _NEVER
        one_from, two_from = max(one[0], position), max(two[0], position)
        low = min(one_from, two_from)
        high = min(
            one[1] if one_from == low else one_from - 1,
            two[1] if two_from == low else two_from - 1,
        )
        left = one[2] if one_from == low else NOTHING
        _append(result, low, high, operation(left, two[2] if two_from == low else NOTHING))
        position = high + 1
        i += one[1] < position
        j += two[1] < position
    return tuple(result)


def _append(result: list[Part], low: int, high: int, each: Intervals) -> None:
    if not each:
        return
    if result and result[-1][1] + 1 == low and result[-1][2] == each:
        result[-1] = (result[-1][0], high, each)
    else:
        result.append((low, high, each))
