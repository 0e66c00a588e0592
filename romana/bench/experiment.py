"""One run of `romana bench policies`: testbeds made, tried, measured in turns, and removed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from romana.bench.errors import BenchError
from romana.bench.figures import Measured
from romana.bench.measurement import Samples, Turns
from romana.bench.planes import Plane
from romana.bench.precision import MOST_TURNS, STEP, wide
from romana.bench.proof import prove
from romana.bench.results import Results, machine, processor_of, worked_out
from romana.bench.schedule import Cell, Schedule, block_of
from romana.bench.support import require
from romana.bench.testbed import MOST, NETWORK, Builder, Testbed
from romana.bench.traffic.processes import traffic
from romana.bench.workload import CLOSED_PORT, PORT
from romana.lab.namespaces import Lab

PREFIX = "romana-bench"

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many of it are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is measured.

    Args:
        planes: the data planes.
        policies: how many there are.
        sizes: of the responses, in bytes.
        requests: for each cell, at least.
        seconds: how long it may go on measuring cells whose intervals are too wide.
        prefix: of the namespaces; a run that was killed leaves some, and the next one of the same
            prefix removes them.
    """

    planes: Sequence[Plane]
    policies: Sequence[int]
    sizes: Sequence[int]
    requests: int
    seconds: int = 0
    prefix: str = PREFIX

    @property
    def testbeds(self) -> tuple[tuple[Plane, int], ...]:
        """Each data plane with each number of policies it is measured with.

        Raises:
            BenchError: there are more than the lab has addresses for.
        """
        found = tuple(
            (plane, count)
            for plane in self.planes
            for count in (self.policies if plane.counted else (0,))
            if plane.most is None or count <= plane.most
        )
        if len(found) > MOST:
            raise BenchError(f"{len(found)} testbeds are more than {MOST}: name fewer --policies")
        return found

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not measured, in words."""
        return tuple(
            f"{plane.name} with {count:,} policies: loading more than {plane.most:,} takes minutes"
            for plane in self.planes
            for count in self.policies
            if plane.counted and plane.most is not None and count > plane.most
        )


def run(experiment: Experiment, progress: Progress) -> Results:
    """Run it. Interrupted while it measures, it returns what there is so far, with `complete` off.

    Raises:
        BenchError: this machine lacks something, a testbed does not do what it should, or a request
            failed.
        ConformanceError: an agent does not start.
        LabError: a host cannot be made.
    """
    wanted = experiment.testbeds
    require(experiment.planes)
    began, clock, where = datetime.now(timezone.utc), time.monotonic(), machine()
    samples = Samples()
    with (
        Lab(experiment.prefix, NETWORK) as lab,
        tempfile.TemporaryDirectory(prefix="romana-bench-") as work,
    ):
        builder = Builder(lab, Path(work))
        testbeds = []
        for number, (plane, count) in enumerate(wanted):
            progress("making testbeds", number, len(wanted))
            testbeds.append(builder.build(plane, count))
        complete = _measured(experiment, testbeds, samples, progress)
    measured = Measured(wanted, samples)
    figures, per_policy = worked_out(measured)
    return Results(
        began=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
        machine=where,
        planes={plane.name: plane.title for plane in experiment.planes},
        backends=tuple(plane.name for plane in experiment.planes if plane.backend),
        policies=tuple(experiment.policies),
        sizes=tuple(experiment.sizes),
        requests=experiment.requests,
        rounds=samples.complete,
        complete=complete,
        left_out=experiment.left_out,
        processor=processor_of(measured),
        figures=figures,
        per_policy=per_policy,
    )


def _measured(
    experiment: Experiment, testbeds: Sequence[Testbed], samples: Samples, progress: Progress
) -> bool:
    """Try and measure; whether to the end."""
    servers = [each.server.path for each in testbeds]
    cells = [
        Cell(index, size) for index in range(len(testbeds)) for size in (None, *experiment.sizes)
    ]
    block = block_of(experiment.requests)
    schedule = Schedule(cells=cells, requests=experiment.requests, block=block)
    with traffic(servers, (PORT, CLOSED_PORT), experiment.sizes) as running:
        for number, testbed in enumerate(testbeds):
            progress("trying testbeds", number, len(testbeds))
            prove(testbed)
        turns = Turns(running, testbeds, samples)
        try:
            turns.measure(schedule, lambda done, of: progress("measuring in turns", done, of))
            _narrow(experiment, turns, samples, block, schedule, progress)
        except KeyboardInterrupt:
            return False
    return True


def _narrow(
    experiment: Experiment,
    turns: Turns,
    samples: Samples,
    block: int,
    schedule: Schedule,
    progress: Progress,
) -> None:
    """Measure the cells of wide intervals in more turns."""
    limit = time.monotonic() + experiment.seconds
    measured = Measured(experiment.testbeds, samples)
    most = (MOST_TURNS - 1) * (schedule.rounds - schedule.warm)
    for begun in range(0, most, STEP):
        again = wide(measured, experiment.sizes)
        if not again or time.monotonic() > limit:
            return

        def told(done: int, _: int, *, begun: int = begun, cells: int = len(again)) -> None:
            progress(f"measuring {cells} cells with wide intervals again", begun + done, most)

        more = Schedule(cells=again, requests=STEP * block, block=block, warm=0, seed=2 + begun)
        turns.measure(more, told)
