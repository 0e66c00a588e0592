"""Measures testbeds in turns."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from romana.bench.schedule import WARM_ROUNDS, Cell, Schedule
from romana.bench.testbed import Testbed
from romana.bench.traffic.processes import Traffic
from romana.bench.traffic.wire import Block
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
        rounds: of each cell, nanoseconds of each request.
        user_s: processor time of client and server in user space.
        system_s: likewise, in the kernel, which forwards for both hosts.
        requests: that this was for.
        busy: share of the whole machine's processor time that was used meanwhile, by anybody.
    """

    rounds: dict[Cell, list[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(list))
    client_user_s: float = 0.0
    client_system_s: float = 0.0
    server_user_s: float = 0.0
    server_system_s: float = 0.0
    requests: int = 0
    busy: float = 0.0

    @property
    def complete(self) -> int:
        """Rounds that every cell has been measured in."""
        return min(map(len, self.rounds.values()), default=0)


def measure(
    traffic: Traffic,
    testbeds: Sequence[Testbed],
    schedule: Schedule,
    samples: Samples,
    progress: Progress,
) -> None:
    """Measure all rounds of a schedule.

    Args:
        traffic: client and server.
        testbeds: that the cells are on.
        schedule: what is measured, and when.
        samples: what came of it, filled round by round: of account also where this is interrupted.
        progress: told after each round.

    Raises:
        BenchError: a request failed.
    """
    idle = _processor_time()
    served = traffic.served()
    for number, cells in enumerate(schedule):
        if number == WARM_ROUNDS:
            idle, served = _processor_time(), traffic.served()
        for cell in cells:
            _block(traffic, testbeds[cell.testbed], cell, schedule.block, samples, number)
        now, told = _processor_time(), traffic.served()
        samples.busy = 1 - (now[0] - idle[0]) / max(1, now[1] - idle[1])
        samples.server_user_s = told.user_s - served.user_s
        samples.server_system_s = told.system_s - served.system_s
        progress(number + 1, schedule.rounds)


def _block(
    traffic: Traffic, testbed: Testbed, cell: Cell, count: int, samples: Samples, number: int
) -> None:
    block = Block(
        namespace=str(testbed.client.path),
        address=str(ADDRESSES[SERVER]),
        port=PORT,
        size=cell.size,
        warm=WARM_REQUESTS,
        count=count,
    )
    began = time.monotonic()
    measured = traffic.run(block)
    taken = time.monotonic() - began
    if number >= WARM_ROUNDS:
        samples.rounds[cell].append(measured.nanoseconds)
        samples.client_user_s += measured.user_s
        samples.client_system_s += measured.system_s
        samples.requests += count
    time.sleep(taken * (1 / SHARE - 1))


def _processor_time() -> tuple[int, int]:
    """Ticks of the machine's processors: idle ones, and all (proc(5), /proc/stat)."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
