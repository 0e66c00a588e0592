"""Measures testbeds in turns."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from romana.bench.schedule import Cell, Schedule
from romana.bench.testbed import Testbed
from romana.bench.traffic.processes import Traffic
from romana.bench.traffic.wire import Block, Measured
from romana.bench.workload import ADDRESSES, PORT, SERVER

WARM_REQUESTS = 5
"""Of each block, that do not count: what another cell has driven out of the caches comes back."""
SHARE = 0.5
"""Of the time, at most, that requests are under way."""

Progress = Callable[[int, int], None]
"""Told after each round: how many are done, and of how many."""


@dataclass(slots=True)
class Samples:
    """What came of it so far.

    Args:
        rounds: of each cell, by number of the round, nanoseconds of each request; of a round that
            is under way too.
        finished: numbers of the rounds that are over.
        user_s: processor time of client and server in user space.
        system_s: likewise, in the kernel, which forwards for both hosts.
        requests: that this was for.
        busy: share of the whole machine's processor time that was used meanwhile, by anybody.
    """

    rounds: dict[Cell, dict[int, tuple[int, ...]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    finished: set[int] = field(default_factory=set)
    client_user_s: float = 0.0
    client_system_s: float = 0.0
    server_user_s: float = 0.0
    server_system_s: float = 0.0
    requests: int = 0
    busy: float = 0.0

    @property
    def complete(self) -> int:
        """Rounds that every cell has been measured in."""
        return min((len(self.of(cell)) for cell in self.rounds), default=0)

    def of(self, cell: Cell) -> Mapping[int, tuple[int, ...]]:
        """Nanoseconds of a cell, by number of the round, of those that are over."""
        found = self.rounds.get(cell, {})
        return {number: found[number] for number in sorted(self.finished & found.keys())}

    def add(self, cell: Cell, number: int, measured: Measured) -> None:
        """Take the block of a cell in a round into account."""
        self.rounds[cell][number] = measured.nanoseconds
        self.client_user_s += measured.user_s
        self.client_system_s += measured.system_s
        self.requests += len(measured.nanoseconds)


class Turns:
    """Measures one schedule after the other; rounds are numbered through.

    Args:
        traffic: client and server.
        testbeds: that the cells are on.
        samples: what came of it, filled round by round: of account also where this is interrupted.
    """

    def __init__(self, traffic: Traffic, testbeds: Sequence[Testbed], samples: Samples) -> None:
        self._traffic = traffic
        self._testbeds = testbeds
        self._samples = samples
        self._number = 0
        self._began = processor_time(), traffic.served()

    def measure(self, schedule: Schedule, progress: Progress) -> None:
        """Measure all rounds of a schedule.

        Args:
            schedule: what is measured, and when.
            progress: told after each round.

        Raises:
            BenchError: a request failed.
        """
        samples = self._samples
        for done, cells in enumerate(schedule):
            counts = done >= schedule.warm
            if self._number == schedule.warm:
                self._began = processor_time(), self._traffic.served()
            for cell in cells:
                measured = self._block(cell, schedule.block)
                if counts:
                    samples.add(cell, self._number, measured)
            if counts:
                samples.finished.add(self._number)
            self._number += 1
            (idle, ticks), served = self._began
            now, told = processor_time(), self._traffic.served()
            samples.busy = 1 - (now[0] - idle) / max(1, now[1] - ticks)
            samples.server_user_s = told.user_s - served.user_s
            samples.server_system_s = told.system_s - served.system_s
            progress(done + 1, schedule.rounds)

    def _block(self, cell: Cell, count: int) -> Measured:
        block = Block(
            namespace=str(self._testbeds[cell.testbed].client.path),
            address=str(ADDRESSES[SERVER]),
            port=PORT,
            size=cell.size,
            warm=WARM_REQUESTS,
            count=count,
        )
        began = time.monotonic()
        measured = self._traffic.run(block)
        time.sleep((time.monotonic() - began) * (1 / SHARE - 1))
        return measured


def processor_time() -> tuple[int, int]:
    """Ticks of the machine's processors: idle ones, and all (proc(5), /proc/stat)."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
