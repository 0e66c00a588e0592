"""A run's outcome as one value: what `results.json` holds and every report is made from."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from romana.bench.estimates import Resampling
from romana.bench.figures import FEWEST_ROUNDS, Figure, Measured, PerPolicy
from romana.bench.measurement import SHARE, WARM_REQUESTS
from romana.version import VERSION

FORMAT = 1
TOOLS = ("nft", "iptables", "ipset")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    processor: str
    processors: int
    memory_mib: int
    kernel: str
    python: str
    tools: dict[str, str]
    load: float
    """Of the minute before, when the run began: other work blurs the figures."""


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    """What the load itself takes, in microseconds a request on average; kernel time is that of both
    pods and both hosts. `busy` is the share of the whole machine, by anybody."""

    client_user: float
    client_kernel: float
    server_user: float
    server_kernel: float
    busy: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything.

    Args:
        began: when, in UTC.
        seconds: that it took.
        where: the cluster and its nodes; empty for this machine's own testbeds.
        planes: titles of the data planes, by name.
        backends: those of them that are Romana's.
        policies: the numbers that were asked for.
        sizes: of responses, in bytes.
        requests: that were asked for in each cell.
        rounds: that every cell was measured in; the cells of wide intervals were in more.
        complete: whether these were all.
        left_out: cells that were not measured, and why.
        figures: one for each cell.
        per_policy: what one policy costs.
    """

    format: int = FORMAT
    version: str = VERSION
    began: str
    seconds: float
    where: str = ""
    machine: Machine
    planes: dict[str, str]
    backends: tuple[str, ...]
    policies: tuple[int, ...]
    sizes: tuple[int, ...]
    requests: int
    rounds: int
    complete: bool
    left_out: tuple[str, ...]
    warm_requests: int = WARM_REQUESTS
    share: float = SHARE
    processor: Processor
    figures: tuple[Figure, ...]
    per_policy: tuple[PerPolicy, ...]

    def of(self, plane: str, size: int | None) -> tuple[Figure, ...]:
        """The figures of a data plane at a size, by number of policies."""
        found = (each for each in self.figures if (each.plane, each.size) == (plane, size))
        return tuple(sorted(found, key=lambda each: each.policies))

    def figure(self, plane: str, policies: int, size: int | None) -> Figure | None:
        """One cell's, if it was measured."""
        found = (each for each in self.of(plane, size) if each.policies == policies)
        return next(found, None)

    def slope(self, plane: str, size: int | None) -> PerPolicy | None:
        """What one policy costs, if that was measured."""
        found = (e for e in self.per_policy if (e.plane, e.size) == (plane, size))
        return next(found, None)


def processor_of(measured: Measured) -> Processor:
    """What the load took."""
    samples = measured.samples
    each = 1e6 / max(1, samples.requests)
    return Processor(
        client_user=samples.client_user_s * each,
        client_kernel=samples.client_system_s * each,
        server_user=samples.server_user_s * each,
        server_kernel=samples.server_system_s * each,
        busy=samples.busy,
    )


def worked_out(measured: Measured) -> tuple[tuple[Figure, ...], tuple[PerPolicy, ...]]:
    """Figures of samples: none before two rounds are complete."""
    if measured.samples.complete < FEWEST_ROUNDS:
        return (), ()
    resampling = Resampling()
    return tuple(measured.figures(resampling)), tuple(measured.per_policy(resampling))


def machine() -> Machine:
    """This machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=_processor(Path("/proc/cpuinfo").read_text().splitlines()),
        processors=len(os.sched_getaffinity(0)),
        memory_mib=memory // 2**20,
        kernel=platform.release(),
        python=platform.python_version(),
        tools={name: _version(name) for name in TOOLS},
        load=os.getloadavg()[0],
    )


def _processor(lines: Iterable[str]) -> str:
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _version(name: str) -> str:
    if shutil.which(name) is None:
        return f"{name}: not installed"
    words: Sequence[str] = (name, "--version")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip().partition("\n")[0]
