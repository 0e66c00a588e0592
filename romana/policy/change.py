"""What a change of the objects would open and cut, before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from romana.objects import Snapshot
from romana.policy.admission import Endpoint
from romana.policy.connectivity import Directions, Group
from romana.policy.intervals import Intervals
from romana.policy.reach import World
from romana.policy.space import Region, minus, without
from romana.policy.words import region_text, traffic_text


@dataclass(frozen=True, slots=True, kw_only=True)
class PairChange:
    """Between two groups of pods.

    Args:
        source: where connections come from.
        destination: where they go.
        before: the traffic that passes now.
        after: the traffic that would.
    """

    source: Group
    destination: Group
    before: Intervals
    after: Intervals

    @property
    def opened(self) -> Intervals:
        """What would pass that does not now."""
        return without(self.after, self.before)

    @property
    def cut(self) -> Intervals:
        """What passes now and would not any more."""
        return without(self.before, self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideChange:
    """Between a group of pods and addresses that are no pod's.

    Args:
        group: the pods.
        incoming: whether connections come to them, or go from them.
        opened: by family, what would pass that does not now.
        cut: by family, what passes now and would not any more.
    """

    group: Group
    incoming: bool
    opened: Directions
    cut: Directions


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """All that a change would open and cut."""

    pairs: tuple[PairChange, ...] = ()
    outside: tuple[OutsideChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pairs or self.outside)

    def as_json(self) -> dict[str, Any]:
        """Plain values only: rows, each with `what`, `source`, `destination`, `traffic`, and how
        many pairs of pods it concerns."""
        rows = [row for each in self.pairs for row in _pair_rows(each)]
        rows += [row for each in self.outside for row in _outside_rows(each)]
        return {
            "changed": bool(self),
            "opened": [row for row in rows if row["what"] == "opens"],
            "cut": [row for row in rows if row["what"] == "cuts"],
        }


def change(old: Snapshot, new: Snapshot, endpoints: Iterable[Endpoint] = ()) -> Change:
    """What would become otherwise for the pods that are in both.

    Args:
        old: the cluster as it is.
        new: as it would be.
        endpoints: this host's.
    """
    endpoints = tuple(endpoints)
    before, after = World(old, endpoints), World(new, endpoints)
    groups = after.grouped(
        {
            key: (before.signature(key), after.signature(key))
            for key in after.pods
            if key in before.pods
        }
    )
    return Change(
        pairs=tuple(_pairs(before, after, groups)),
        outside=tuple(_outside(before, after, groups)),
    )


def _pairs(before: World, after: World, groups: tuple[Group, ...]) -> Iterator[PairChange]:
    others = {i for i, each in enumerate(groups) if not before.judges(each, after)}
    everyone = range(len(groups))
    for i, source in enumerate(groups):
        for destination in (groups[j] for j in (everyone if i in others else sorted(others))):
            first, second = source.pods[0], destination.pods[-1]
            if first != second:
                was, would = before.pair(first, second), after.pair(first, second)
                if was != would:
                    yield PairChange(
                        source=source, destination=destination, before=was, after=would
                    )


def _outside(before: World, after: World, groups: tuple[Group, ...]) -> Iterator[OutsideChange]:
    for group in (each for each in groups if not before.judges(each, after)):
        for incoming in (True, False):
            was, would = before.outside(group, incoming), after.outside(group, incoming)
            if was != would:
                opened = {family: minus(region, was[family]) for family, region in would.items()}
                cut = {family: minus(region, would[family]) for family, region in was.items()}
                yield OutsideChange(group=group, incoming=incoming, opened=opened, cut=cut)


def _pair_rows(each: PairChange) -> Iterator[dict[str, Any]]:
    source, destination = each.source, each.destination
    pairs = len(source.pods) * len(destination.pods)
    if source == destination:
        pairs -= len(source.pods)
    for what, traffic in (("opens", each.opened), ("cuts", each.cut)):
        if traffic:
            yield {
                "what": what,
                "source": source.name,
                "destination": destination.name,
                "traffic": traffic_text(traffic),
                "pairs": pairs,
            }


def _outside_rows(each: OutsideChange) -> Iterator[dict[str, Any]]:
    name = each.group.name
    for what, directions in (("opens", each.opened), ("cuts", each.cut)):
        for family, region in directions.items():
            for addresses, traffic in _texts(region, family):
                ends = (addresses, name) if each.incoming else (name, addresses)
                yield {
                    "what": what,
                    "source": ends[0],
                    "destination": ends[1],
                    "traffic": traffic,
                    "pairs": len(each.group.pods),
                }


def _texts(region: Region, family: int) -> list[tuple[str, str]]:
    return region_text(region, family) if region else []
