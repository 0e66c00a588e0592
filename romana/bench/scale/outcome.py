"""What a run of `romana bench scale` comes to, and how figures grow with the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from romana.bench.estimates import percentile
from romana.bench.scale.synthetic import Shape


class Times(msgspec.Struct, frozen=True):
    """Milliseconds from an event to the kernel's commit."""

    count: int
    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Times:
        """Of all that were measured."""
        return cls(len(values), median(values), percentile(values, 0.99), max(values))


class Start(msgspec.Struct, frozen=True):
    """From the start of the agent's process, with this host's pods attached, until everything is in
    force: the objects are read from the API's JSON meanwhile."""

    seconds: float
    processor_s: float


class Kernel(msgspec.Struct, frozen=True):
    """What the agent's table holds."""

    sets: int
    elements: int
    largest: int
    chains: int
    rules: int

    @classmethod
    def of(cls, listing: str) -> Kernel:
        """What `nft -j list table` tells."""
        items = msgspec.json.decode(listing)["nftables"]
        kinds = [next(iter(each)) for each in items]
        sizes = [
            len(each.get("elem", ()))
            for item in items
            for kind, each in item.items()
            if kind in ("set", "map")
        ]
        return cls(
            sets=len(sizes),
            elements=sum(sizes),
            largest=max(sizes, default=0),
            chains=kinds.count("chain"),
            rules=kinds.count("rule"),
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster's figures. Memory in MiB; shares are of one processor."""

    shape: Shape
    start: Start
    resident_mib: float
    peak_mib: float
    idle_share: float
    changes: dict[str, Times]
    churn_per_s: int
    churn: Times | None
    churn_share: float
    churn_commits: int
    churn_folded: int
    kernel: Kernel


Row = tuple[str, Sequence[float], int]
"""A figure's name, its value in each cluster, and the digits to show."""


def rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Every figure, of the clusters in order."""
    yield "start to in force, s", [each.start.seconds for each in outcomes], 2
    yield "  processor time of it, s", [each.start.processor_s for each in outcomes], 2
    yield "resident memory, MiB", [each.resident_mib for each in outcomes], 0
    yield "  at most, MiB", [each.peak_mib for each in outcomes], 0
    yield "idle, % of a processor", [100 * each.idle_share for each in outcomes], 1
    for name in outcomes[0].changes:
        found = [each.changes[name] for each in outcomes]
        yield f"{name}, ms, p50", [each.p50 for each in found], 2
        yield f"{name}, ms, p99", [each.p99 for each in found], 2
    churns = [each.churn for each in outcomes if each.churn is not None]
    if len(churns) == len(outcomes):
        yield "churn, ms, p50", [each.p50 for each in churns], 2
        yield "churn, ms, p99", [each.p99 for each in churns], 2
        yield "churn, changes that the next overtook", [each.churn_folded for each in outcomes], 0
        yield "churn, % of a processor", [100 * each.churn_share for each in outcomes], 0
    yield "sets and maps in the kernel", [each.kernel.sets for each in outcomes], 0
    yield "  their elements", [each.kernel.elements for each in outcomes], 0
    yield "  of the largest", [each.kernel.largest for each in outcomes], 0
    yield "rules in the kernel", [each.kernel.rules for each in outcomes], 0
