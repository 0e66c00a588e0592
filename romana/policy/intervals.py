"""Sets of integers as sorted closed intervals: addresses, and ports.

An `Intervals` is canonical: sorted, disjoint, and no two of them adjacent. So equal sets are equal
values.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from math import inf

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]


def union(intervals: Iterable[Interval]) -> Intervals:
    """The canonical set of any intervals, overlapping and unsorted ones too."""
    result: list[Interval] = []
    for low, high in sorted(intervals):
        if result and low <= result[-1][1] + 1:
            if high > result[-1][1]:
                result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return tuple(result)


def subtract(intervals: Intervals, removed: Intervals) -> Intervals:
    """What is in the first set and not in the second."""
    if not removed:
        return intervals
    result: list[Interval] = []
    index = 0
    for first, high in intervals:
        low = first
        while index < len(removed) and removed[index][1] < low:
            index += 1
        cut = index
        while cut < len(removed) and removed[cut][0] <= high:
            if removed[cut][0] > low:
                result.append((low, removed[cut][0] - 1))
            low = removed[cut][1] + 1
            cut += 1
        if low <= high:
            result.append((low, high))
    return tuple(result)


def contains(intervals: Intervals, value: int) -> bool:
    """Whether a number is in the set."""
    index = bisect_right(intervals, (value, inf))
    return index > 0 and intervals[index - 1][1] >= value
