"""Who reaches whom, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from romana.objects import Key
from romana.policy.intervals import Intervals
from romana.policy.space import Region
from romana.policy.words import region_text, traffic_text

Directions = Mapping[int, Region]
"""Addresses with their traffic, by family."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that no policy tells apart.

    Args:
        workload: namespace and name.
        pods: their keys, in order.
        whole: whether these are all pods of the workload.
    """

    workload: Key
    pods: tuple[Key, ...]
    whole: bool = True

    @property
    def name(self) -> str:
        """In words: the workload, or as much of it as it is."""
        if self.whole:
            return "/".join(self.workload)
        more = f" and {len(self.pods) - 1} more" if len(self.pods) > 1 else ""
        return "/".join(self.pods[0]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The answer.

    Args:
        groups: all of them, in order.
        between: traffic from one group to another, by their indexes; where there is none, nothing.
        arriving: by index, what a group admits from outside the pods.
        leaving: by index, what a group may send to what is outside the pods.
        isolated: by index, whether policies isolate ingress and egress.
        looked_at: the groups that were asked for; what others do among themselves is not told.
    """

    groups: tuple[Group, ...] = ()
    between: Mapping[tuple[int, int], Intervals] = field(default_factory=dict)
    arriving: tuple[Directions, ...] = ()
    leaving: tuple[Directions, ...] = ()
    isolated: tuple[tuple[bool, bool], ...] = ()
    looked_at: frozenset[int] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """Plain values only. `between` holds [source, destination, traffic] by index; of `all`
        traffic too. `arriving` and `leaving` hold [addresses, traffic] for each group."""
        return {
            "groups": [
                {
                    "name": each.name,
                    "namespace": each.workload[0],
                    "workload": each.workload[1],
                    "pods": ["/".join(pod) for pod in each.pods],
                    "looked_at": index in self.looked_at,
                    "isolated_ingress": isolated[0],
                    "isolated_egress": isolated[1],
                    "arriving": _texts(arriving),
                    "leaving": _texts(leaving),
                }
                for index, (each, isolated, arriving, leaving) in enumerate(
                    zip(self.groups, self.isolated, self.arriving, self.leaving, strict=True)
                )
            ],
            "between": [
                [source, destination, traffic_text(found)]
                for (source, destination), found in self.between.items()
            ],
        }


def _texts(directions: Directions) -> list[list[str]]:
    return [
        list(each) for family, region in directions.items() for each in region_text(region, family)
    ]
