"""From samples to figures: what is put in comes out, with an interval that holds it."""

from random import Random

import pytest

from romana.bench.estimates import Resampling, outliers, slope
from romana.bench.figures import Measured
from romana.bench.measurement import Samples
from romana.bench.planes import BASELINES, ESTABLISHED, LIST, romana
from romana.bench.results import worked_out
from romana.bench.schedule import WARM_ROUNDS, Cell, Schedule, block_of

ROUNDS, BLOCK = 40, 20


def test_a_schedule_has_every_cell_once_a_round_in_another_order():
    cells = [Cell(testbed, size) for testbed in range(4) for size in (None, 512)]
    schedule = Schedule(cells=cells, requests=2000, block=40)
    rounds = list(schedule)
    assert len(rounds) == schedule.rounds == 2000 // schedule.block + WARM_ROUNDS
    assert all(sorted(each, key=cells.index) == cells for each in rounds)
    assert len(set(rounds)) > len(rounds) // 2
    assert rounds == list(Schedule(cells=cells, requests=2000, block=40))


@pytest.mark.parametrize("requests", [10, 11, 95, 399, 2000, 2001])
def test_a_schedule_makes_at_least_the_requests_that_are_wanted(requests):
    schedule = Schedule(cells=[Cell(0, None)], requests=requests, block=block_of(requests))
    assert requests <= (schedule.rounds - WARM_ROUNDS) * schedule.block < requests + schedule.block
    assert schedule.rounds >= 10


def samples_of(testbeds, cost, noise):
    """Nanoseconds: of each round a level of its own, for all testbeds alike."""
    chance = Random(5)
    found = Samples()
    for number in range(ROUNDS):
        found.finished.add(number)
        level = 30_000 + chance.gauss(0, 5_000)
        for index, (plane, count) in enumerate(testbeds):
            values = (level + cost(plane, count) + chance.gauss(0, noise) for _ in range(BLOCK))
            found.rounds[Cell(index, None)][number] = tuple(int(each) for each in values)
    return found


def test_differences_are_found_under_noise_that_all_cells_share():
    nft = romana("nftables")
    testbeds = [(ESTABLISHED, 0)] + [(p, n) for p in (LIST, nft) for n in (0, 100, 200)]

    def cost(plane, count):
        return {"established": 0, "list": 50 * count, "nftables": 2000}[plane.name]

    figures, per_policy = worked_out(Measured(testbeds, samples_of(testbeds, cost, 300)))
    by_cell = {(each.plane, each.policies): each for each in figures}
    listed = by_cell["list", 200]
    assert listed.more.low < 10 < listed.more.high
    assert listed.more.high - listed.more.low < 0.5  # far less than the rounds differ
    assert listed.median.high - listed.median.low > 1
    assert by_cell["nftables", 200].more.holds_zero
    assert by_cell["nftables", 200].percent.holds_zero
    above = by_cell["nftables", 0].above_established
    assert above.low < 2 < above.high
    assert by_cell["established", 0].more is None
    slopes = {each.plane: each.nanoseconds for each in per_policy}
    assert slopes["list"].low < 50 < slopes["list"].high
    assert slopes["nftables"].holds_zero
    assert listed.requests == ROUNDS * BLOCK


def test_a_round_that_was_interrupted_does_not_count():
    testbeds = [(plane, 0) for plane in BASELINES[:2]]
    samples = samples_of(testbeds, lambda *_: 0, 100)
    samples.rounds[Cell(0, None)][ROUNDS] = (10**9,)
    figures, _ = worked_out(Measured(testbeds, samples))
    assert {each.requests for each in figures} == {ROUNDS * BLOCK}
    assert max(each.worst for each in figures) < 10**5


@pytest.mark.parametrize("rounds", [0, 1])
def test_nothing_is_said_of_fewer_than_two_rounds(rounds):
    samples = Samples()
    for number in range(rounds):
        samples.finished.add(number)
        samples.rounds[Cell(0, None)][number] = (1, 2)
    assert worked_out(Measured([(ESTABLISHED, 0)], samples)) == ((), ())


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    chance = Random(3)
    resampling = Resampling()
    held = sum(
        (found := resampling.estimate([chance.gauss(7, 2) for _ in range(30)])).low
        <= 7
        <= found.high
        for _ in range(200)
    )
    assert 175 <= held <= 200


def test_outliers_are_counted():
    assert outliers([10.0] * 50 + [11.0] * 50) == 0
    assert outliers([10.0, 11.0] * 50 + [100.0, 1000.0]) == 2


def test_a_slope_is_that_of_a_line():
    assert slope((0, 10, 200), [5.0, 25.0, 405.0]) == pytest.approx(2)
