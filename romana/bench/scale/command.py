"""`romana bench scale`: the command's work, apart from its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.table import Table

from romana.bench.errors import BenchError
from romana.bench.results import Machine, machine
from romana.bench.scale.experiment import Experiment, Progress, run
from romana.bench.scale.outcome import Outcome, rows
from romana.bench.scale.synthetic import APPS, BLOCK, Shape

TENTH = 10
MOST_PODS = 2**18
MOST_NODES = 2**17 - 2**10


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What `scale.json` holds: a tenth of the cluster, and all of it unless interrupted."""

    format: int = 1
    machine: Machine
    outcomes: tuple[Outcome, ...]
    complete: bool


def checked(shape: Shape) -> Shape:
    """A shape that makes sense.

    Raises:
        BenchError: it does not.
    """
    bounds = {
        "--pods": (shape.pods, shape.pods_per_node, MOST_PODS),
        "--policies": (shape.policies, 0, 10**6),
        "--nodes": (shape.nodes, 2, MOST_NODES),
        "--iterations": (shape.iterations, max(2, shape.remotes_namespaces), 10**5),
        "--pods-per-node": (shape.pods_per_node, 1, BLOCK - 8),
        "--remotes-namespaces": (shape.remotes_namespaces, 1, 10**3),
        "--remotes-pods": (shape.remotes_pods, 1, APPS),
        "--single-ports": (shape.single_ports, 0, 10**3),
        "--cidrs": (shape.cidrs, 0, 10**3),
    }
    for option, (given, least, most) in bounds.items():
        if not least <= given <= most:
            raise BenchError(f"{option} {given}: must be from {least:,} to {most:,}")
    return shape


def tenth(shape: Shape) -> Shape:
    """A tenth of the cluster, with as many pods on this host."""
    return replace(
        shape,
        pods=max(shape.pods_per_node, shape.pods // TENTH),
        policies=shape.policies // TENTH,
        nodes=max(2, shape.nodes // TENTH),
        iterations=max(2, shape.remotes_namespaces, shape.iterations // TENTH),
    )


def scale(shape: Shape, make: Callable[[Shape], Experiment], progress: Progress) -> Results:
    """Measure a tenth of a cluster, and all of it; interrupted meanwhile, the tenth alone.

    Args:
        shape: of the whole.
        make: the experiment with a shape.
        progress: told what is being done.

    Raises:
        BenchError: the shape makes no sense, or the agent does not do what it should.
        LabError: the host cannot be made.
    """
    where, outcomes = machine(), []
    for each in (tenth(shape), shape):
        try:
            outcomes.append(run(make(each), _titled(f"{each.pods:,} pods", progress)))
        except KeyboardInterrupt:
            if not outcomes:
                raise
            return Results(machine=where, outcomes=tuple(outcomes), complete=False)
    return Results(machine=where, outcomes=tuple(outcomes), complete=True)


def _titled(title: str, progress: Progress) -> Progress:
    return lambda what, done, of: progress(f"{title}: {what}", done, of)


def write(results: Results, out: Path) -> str:
    """Write scale.json; its path."""
    path = out / "scale.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    return str(path)


def table(outcomes: Sequence[Outcome]) -> Table:
    """Each figure for each cluster, and how it grows."""
    made = Table("", box=None, pad_edge=False)
    for each in outcomes:
        shape = each.shape
        made.add_column(
            f"{shape.pods:,} pods\n{shape.policies:,} policies\n{shape.nodes:,} nodes",
            justify="right",
        )
    made.add_column("grows", justify="right")
    for name, values, digits in rows(outcomes):
        first, last = values[0], values[-1]
        grows = f"x {last / first:.1f}" if first else ""
        made.add_row(name, *(f"{value:,.{digits}f}" for value in values), grows)
    return made
