"""What programs of ours leave on a host while they run, beside what was laid down there: rules,
routes, mounts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from installer.resources.base import Change
from installer.resources.records import GONE
from installer.resources.shell import digest_of

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Trace:
    """Known only for the day when all is taken off.

    Args:
        name: a few words, unique on the host.
        found: sh text that prints a line for each of them that is there; nothing without them.
        removal: sh text that removes them all.
        end_of: id of the service or trace that makes them. Where it goes in the same run, they are
            removed also if none was there at the plan's look: there may be some by then.
        timeout_s: for the removal.
    """

    name: str
    _: KW_ONLY
    found: str
    removal: str
    end_of: str = ""
    timeout_s: float = 60

    @property
    def id(self) -> str:
        """`trace:NAME`."""
        return f"trace:{self.name}"

    @property
    def digest(self) -> str:
        """Covers how they are found."""
        return digest_of(self.id, self.found)

    def left(self) -> str:
        """Prints those that are there."""
        return f"(\n{self.found.strip()}\n) | head -n {SHOWN}\n"

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """All of them removed."""
        lines = [line for line in seen.splitlines() if line.strip()]
        if not lines and self.end_of not in changing:
            return None
        return Change(
            before=f"{len(lines)} there",
            after=GONE,
            diff="\n".join(f"-{line}" for line in lines),
            repair=self.removal,
            timeout_s=self.timeout_s,
        )
