"""From samples to figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

import msgspec

from romana.bench.estimates import Estimate, Resampling, mean, outliers, percentile, slope
from romana.bench.measurement import Samples
from romana.bench.planes import ESTABLISHED, Plane
from romana.bench.schedule import Cell

FEWEST_ROUNDS = 2


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: a data plane with a number of policies, and a size.

    Args:
        plane: name of the data plane.
        policies: in force.
        size: of the response in bytes; None to connect and nothing more.
        requests: that were measured.
        median: microseconds: of the medians of the rounds.
        mean: microseconds, of all requests.
        p99: microseconds.
        worst: microseconds.
        outliers: requests that took far longer than the others; they count all the same.
        more: microseconds more than the same data plane takes without policies, round by round.
        percent: the same as percents of that.
        above_established: microseconds more than the floor takes, round by round.
    """

    plane: str
    policies: int
    size: int | None
    requests: int
    median: Estimate
    mean: Estimate
    p99: float
    worst: float
    outliers: int
    more: Estimate | None = None
    percent: Estimate | None = None
    above_established: Estimate | None = None


class PerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """By how much each policy makes requests longer, by regression: nanoseconds."""

    plane: str
    size: int | None
    policies: tuple[int, ...]
    nanoseconds: Estimate


@dataclass(frozen=True, slots=True)
class Measured:
    """What the testbeds were, in the order of their indexes."""

    testbeds: Sequence[tuple[Plane, int]]
    samples: Samples

    def index(self, plane: str, policies: int) -> int | None:
        """Of a testbed, if there is one."""
        found = (
            number
            for number, (each, count) in enumerate(self.testbeds)
            if (each.name, count) == (plane, policies)
        )
        return next(found, None)

    def medians(self, cell: Cell) -> Mapping[int, float]:
        """Microseconds: the median of each round that is over, by its number."""
        rounds = self.samples.of(cell)
        return {number: median(each) / 1000 for number, each in rounds.items()}

    def figures(self, resampling: Resampling) -> Iterator[Figure]:
        """One for each cell."""
        for cell in sorted(self.samples.rounds, key=lambda each: (each.size or 0, each.testbed)):
            plane, policies = self.testbeds[cell.testbed]
            rounds = self.samples.of(cell).values()
            values = [each / 1000 for each in chain.from_iterable(rounds)]
            medians = self.medians(cell)
            none = self._other(plane.name if plane.counted else "", 0, cell)
            floor = self._other(ESTABLISHED.name, 0, cell)
            yield Figure(
                plane=plane.name,
                policies=policies,
                size=cell.size,
                requests=len(values),
                median=resampling.estimate([*medians.values()]),
                mean=resampling.estimate([mean(each) / 1000 for each in rounds], mean),
                p99=percentile(values, 0.99),
                worst=max(values),
                outliers=outliers(values),
                more=resampling.estimate(differences(medians, none)) if none else None,
                percent=resampling.estimate(percents(medians, none)) if none else None,
                above_established=(
                    resampling.estimate(differences(medians, floor)) if floor else None
                ),
            )

    def _other(self, plane: str, policies: int, cell: Cell) -> Mapping[int, float]:
        index = self.index(plane, policies)
        if index is None or index == cell.testbed:
            return {}
        return self.medians(Cell(index, cell.size))

    def per_policy(self, resampling: Resampling) -> Iterator[PerPolicy]:
        """One for each data plane and size, where there are several numbers of policies."""
        for (plane, size), cells in self._by_plane().items():
            counts = tuple(sorted(cells))
            if len(counts) > 1:
                medians = [self.medians(cells[count]) for count in counts]
                common = sorted(set(medians[0]).intersection(*medians[1:]))
                slopes = [1000 * slope(counts, [each[n] for each in medians]) for n in common]
                yield PerPolicy(
                    plane=plane,
                    size=size,
                    policies=counts,
                    nanoseconds=resampling.estimate(slopes),
                )

    def _by_plane(self) -> Mapping[tuple[str, int | None], Mapping[int, Cell]]:
        found: dict[tuple[str, int | None], dict[int, Cell]] = {}
        for cell in self.samples.rounds:
            plane, policies = self.testbeds[cell.testbed]
            if plane.counted:
                found.setdefault((plane.name, cell.size), {})[policies] = cell
        return found


def differences(values: Mapping[int, float], base: Mapping[int, float]) -> list[float]:
    """Round by round, of those in which both were measured."""
    return [one - base[number] for number, one in values.items() if number in base]


def percents(values: Mapping[int, float], base: Mapping[int, float]) -> list[float]:
    """The same as percents of the base."""
    return [100 * (one / base[number] - 1) for number, one in values.items() if number in base]
