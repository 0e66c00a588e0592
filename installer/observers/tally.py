"""Counts outcomes for the recap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from installer.events import Event, HostRecap, Outcome, ResourceResult


class Tally:
    """Counts each resource of each host once, by its last outcome.

    Args:
        hosts: all hosts of the run, in the order of the recap.
    """

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self._hosts = hosts
        self._last: dict[tuple[str, str], Outcome] = {}

    def __call__(self, event: Event) -> None:
        """Takes note of a result."""
        if isinstance(event, ResourceResult):
            self._last[event.host, event.resource] = event.outcome

    def recap(
        self, round_trips: Mapping[str, int], unreachable: frozenset[str]
    ) -> tuple[HostRecap, ...]:
        """The counts.

        Args:
            round_trips: by host.
            unreachable: hosts that could not be reached at all.
        """
        counts: dict[str, Counter[Outcome]] = {host: Counter() for host in self._hosts}
        for (host, _), outcome in self._last.items():
            counts.setdefault(host, Counter())[outcome] += 1
        return tuple(
            HostRecap(
                host=host,
                ok=count["ok"],
                changed=count["changed"],
                failed=count["failed"],
                skipped=count["skipped"],
                unreachable=int(host in unreachable or count["unreachable"] > 0),
                round_trips=round_trips.get(host, 0),
            )
            for host, count in counts.items()
        )
