"""Which cells are measured again: by the width of intervals, never by where they lie."""

from random import Random

import pytest

from romana.bench.figures import Measured
from romana.bench.measurement import Samples
from romana.bench.planes import ESTABLISHED, LIST, romana
from romana.bench.precision import wide
from romana.bench.schedule import Cell

SIZE = 1024
TESTBEDS = [
    (ESTABLISHED, 0),
    *((plane, count) for plane in (LIST, romana("nftables")) for count in (0, 200, 50_000)),
]
FLOOR, NONE, FEW, MANY = 0, 4, 5, 6
ROUNDS = 40


def measured(noisy=(), shift_ns=0):
    """Rounds of 30 us, all testbeds alike but for Romana's shift; some cells with noise."""
    chance = Random(2)
    samples = Samples()
    for number in range(ROUNDS):
        samples.finished.add(number)
        for index, (plane, _) in enumerate(TESTBEDS):
            for size in (None, SIZE):
                cell = Cell(index, size)
                noise = chance.gauss(0, 5_000) if cell in noisy else chance.gauss(0, 20)
                value = 30_000 + noise + (shift_ns if plane.backend else 0)
                samples.rounds[cell][number] = (int(value),) * 3
    return Measured(TESTBEDS, samples)


@pytest.mark.parametrize("shift_ns", [0, 2_900, 3_100, 9_000])
def test_narrow_intervals_are_left_alone_wherever_they_lie(shift_ns):
    assert wide(measured(shift_ns=shift_ns), (SIZE,)) == ()


@pytest.mark.parametrize("shift_ns", [0, 2_900, 3_100, 9_000])
def test_wide_ones_are_measured_again_with_what_they_are_compared_with(shift_ns):
    found = measured((Cell(MANY, None), Cell(FEW, SIZE)), shift_ns)
    assert set(wide(found, (SIZE,))) == {
        Cell(MANY, None),
        Cell(FLOOR, None),
        Cell(FEW, SIZE),
        Cell(NONE, SIZE),
    }


def test_only_what_a_target_is_about_is_measured_again():
    noisy = [Cell(index, SIZE) for index in (FLOOR, 1, 2, 3, MANY)]
    assert wide(measured(noisy), (SIZE,)) == ()


def test_of_no_round_nothing_is_wide():
    assert wide(Measured(TESTBEDS, Samples()), (SIZE,)) == ()
