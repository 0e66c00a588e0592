"""What others changed in the kernel, and was put back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from romana.agent.metrics import Metrics
from romana.dataplane.backends import Reading
from romana.dataplane.netlink import RulesetChanged

Kind = Literal["policy", "route"]

SHOWN = 10
"""How many classes of packets are told one by one."""

log = logging.getLogger(__name__)


class Repairs:
    """Counts and tells repairs, and remembers the last.

    Args:
        metrics: counts them too.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counts: Counter[Kind] = Counter()
        self._suspect = ""
        self._last = ""
        self._traffic: tuple[str, ...] = ()
        self.repaired: Callable[[Reading | None], None] = lambda _: None
        """Called when the table has been repaired, with what it was as it was read."""

    def suspect(self, change: RulesetChanged) -> None:
        """Take notice of who touched our table: what is then found to differ, is theirs."""
        log.warning("somebody touched our table", extra={"what": change})
        self._suspect = str(change)

    @property
    def suspected(self) -> bool:
        """Whether somebody has touched our table since it was last compared."""
        return bool(self._suspect)

    def nothing(self) -> None:
        """Nothing differs in the table, whoever touched it."""
        self._suspect = ""

    def policies(self, differences: Sequence[object]) -> None:
        """Differences in the table, about to be repaired."""
        for each in differences:
            log.warning(
                "somebody changed the policies in the kernel; repairing", extra={"what": each}
            )
        self._traffic = ()
        self._note("policy", [str(each) for each in differences], self._suspect)
        self._suspect = ""

    def routes(self, changes: Sequence[str]) -> None:
        """Changes of routes that had to be made although nothing else is wanted."""
        log.warning("somebody changed our routes; repaired", extra={"changes": "; ".join(changes)})
        self._note("route", changes, "")

    def as_json(self) -> dict[str, Any]:
        """Counts since the agent's start, and the last repair in words."""
        return {
            "policy": self._counts["policy"],
            "route": self._counts["route"],
            "last": self._last,
            "traffic": list(self._traffic),
        }

    def concerned(self, traffic: Sequence[str]) -> None:
        """Packets that were treated otherwise before the last repair, one for each class of
        them."""
        for each in traffic[:SHOWN]:
            log.warning("what had been changed concerned traffic", extra={"what": each})
        self._traffic = tuple(traffic[:SHOWN])

    def _note(self, kind: Kind, what: Sequence[str], who: str) -> None:
        self._metrics.repairs.labels(kind).inc(len(what))
        self._counts[kind] += len(what)
        more = f" and {len(what) - 1} more" if len(what) > 1 else ""
        by = f" ({who})" if who else ""
        now = datetime.now(timezone.utc)
        self._last = f"{now:%Y-%m-%d %H:%M:%S} UTC: {what[0]}{more}{by}"
