"""In which order cells are measured: in turns, so that whatever else the machine does meets all of
them alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

BLOCK = 40
"""Requests of a cell in one round, one after the other."""
FEWEST_ROUNDS = 10
FEWEST_REQUESTS = 10
WARM_ROUNDS = 1
"""Rounds that come first and do not count."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured.

    Args:
        testbed: its index.
        size: of the response in bytes; None to connect and nothing more.
    """

    testbed: int
    size: int | None


def block_of(requests: int, most: int = BLOCK) -> int:
    """Requests in a block: fewer where few are wanted, for enough rounds to compare."""
    return max(1, min(most, requests // FEWEST_ROUNDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Rounds, each with one block of every cell, in another order each time.

    Args:
        cells: that are measured.
        requests: of each.
        block: of these, one after the other.
        warm: rounds that come first and do not count.
        seed: of the order.
    """

    cells: Sequence[Cell]
    requests: int
    block: int
    warm: int = WARM_ROUNDS
    seed: int = 1

    @property
    def rounds(self) -> int:
        """How many there are, with those that do not count."""
        return -(-self.requests // self.block) + self.warm

    def __iter__(self) -> Iterator[tuple[Cell, ...]]:
        """The cells of each round."""
        chance = Random(self.seed)  # noqa: S311 - order, not secrecy
        for _ in range(self.rounds):
            yield tuple(chance.sample(self.cells, len(self.cells)))
