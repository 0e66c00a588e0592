"""Medians, means and differences with their confidence. Pure.

Requests of one block are alike, and differ from those of another round by whatever the machine did
then; so the round is the unit. Confidence intervals come from a bootstrap over rounds: rounds are
drawn with replacement, DRAWS times, the same ones for all cells of as many rounds, and the middle
95 % of what comes of it is the interval. Two cells are compared round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean, median

import msgspec

DRAWS = 1000
CONFIDENCE = 0.95
FAR = 3.0
"""An outlier lies further above the third quartile than so many times the distance from the first
to the third (Tukey's outer fence)."""

Statistic = Callable[[Sequence[float]], float]


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    @property
    def half_width(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2

    @property
    def holds_zero(self) -> bool:
        """Whether it may be nothing at all."""
        return self.low <= 0 <= self.high


class Resampling:
    """Draws of rounds.

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._drawn: dict[int, list[list[int]]] = {}

    def _draws(self, rounds: int) -> list[list[int]]:
        if rounds not in self._drawn:
            chance = Random(self._seed)  # noqa: S311 - draws, not secrecy
            self._drawn[rounds] = [chance.choices(range(rounds), k=rounds) for _ in range(DRAWS)]
        return self._drawn[rounds]

    def estimate(self, values: Sequence[float], statistic: Statistic = median) -> Estimate:
        """A statistic of one figure a round."""
        draws = self._draws(len(values))
        found = sorted(statistic([values[each] for each in draw]) for draw in draws)
        edge = int(len(found) * (1 - CONFIDENCE) / 2)
        return Estimate(statistic(values), found[edge], found[-1 - edge])


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return fmean(values)


def slope(at: Sequence[int], values: Sequence[float]) -> float:
    """By how much a value grows for each one of `at`, by least squares; there are two at least."""
    middle, level = fmean(at), fmean(values)
    across = sum((x - middle) * (y - level) for x, y in zip(at, values, strict=True))
    return across / sum((x - middle) ** 2 for x in at)


def outliers(values: Sequence[float]) -> int:
    """How many lie far above the others."""
    ordered = sorted(values)
    first, third = (ordered[len(ordered) * each // 4] for each in (1, 3))
    fence = third + FAR * (third - first)
    return sum(each > fence for each in ordered)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
