"""Which cells are measured in more turns than were asked for: those of intervals that are too wide
to hold a figure against its target. Pure.

The width alone decides, never where the interval lies, and there is a fixed maximum of turns: to
stop as soon as an interval lies well would prefer the rounds in which it happened to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from romana.bench.estimates import Resampling
from romana.bench.figures import Measured, differences, percents
from romana.bench.planes import ESTABLISHED
from romana.bench.schedule import Cell
from romana.bench.verdicts import MOST_ABOVE_US, MOST_PERCENT, SEED_POLICIES

FINE = 0.35
"""An interval is narrow if half of it is at most this share of the target's bound, in percent."""
FINE_US = 0.04
"""The same for microseconds above `established`, where the bound is larger than what differs."""
MOST_TURNS = 6
"""So many times the turns that were asked for, at most, for any cell."""
STEP = 10
"""Rounds between two looks at the widths."""


def wide(measured: Measured, sizes: Sequence[int]) -> tuple[Cell, ...]:
    """The cells that should be measured again, those they are compared with among them."""
    resampling = Resampling()
    found: dict[Cell, None] = {}
    for cell, base in _compared(measured, sizes):
        relative = cell.size is not None
        values = (percents if relative else differences)(
            measured.medians(cell), measured.medians(base)
        )
        most = FINE * MOST_PERCENT if relative else FINE_US * MOST_ABOVE_US
        if values and resampling.estimate(values).half_width > most:
            found.update(dict.fromkeys((cell, base)))
    return tuple(found)


def _compared(measured: Measured, sizes: Sequence[int]) -> Iterator[tuple[Cell, Cell]]:
    """What the targets are about: a cell, and what it is compared with."""
    floor = measured.index(ESTABLISHED.name, 0)
    backends = {plane.name for plane, _ in measured.testbeds if plane.backend}
    for name in sorted(backends):
        counts = sorted(count for plane, count in measured.testbeds if plane.name == name)
        for count in counts:
            index = measured.index(name, count)
            if floor is not None and index is not None:
                yield Cell(index, None), Cell(floor, None)
        none = measured.index(name, 0)
        few = [each for each in counts if 0 < each <= SEED_POLICIES]
        most = measured.index(name, max(few)) if few else None
        if none is not None and most is not None:
            yield from ((Cell(most, size), Cell(none, size)) for size in sizes)
