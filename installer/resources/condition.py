"""A condition that must come to hold, and what brings it about where waiting is not enough."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from installer.resources.base import Change
from installer.resources.shell import digest_of, quote


def wait_for(condition: str, *, timeout_s: int, failed: str, stop: str = "false") -> str:
    """Sh text that polls until `condition` holds.

    Args:
        condition: sh text; its exit status says whether it holds.
        timeout_s: limit of the wait.
        failed: sh text that reports why, before the script ends with 1.
        stop: sh text; once it succeeds there is no point in waiting on.
    """
    return (
        f"ready() {{ (\n{condition.strip()}\n) >/dev/null 2>&1; }}\n"
        f"hopeless() {{ (\n{stop.strip()}\n) >/dev/null 2>&1; }}\n"
        f"deadline=$(($(date +%s) + {timeout_s}))\n"
        "until ready; do\n"
        'if hopeless || [ "$(date +%s)" -ge "$deadline" ]; then\n'
        f"{failed.strip()}\nexit 1\nfi\n"
        "sleep 0.2 2>/dev/null || sleep 1\ndone\n"
    )


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that must hold on a host and is neither a file nor a service: a node that is
    ready, swap that is off.

    Args:
        name: a few words, unique on the host.
        holds: sh text whose exit status says whether it holds; changes nothing.
        repair: sh text that brings it about; empty where it only takes waiting.
        evidence: sh text that prints what helps to understand a failure.
        timeout_s: how long to wait after the repair.
    """

    name: str
    _: KW_ONLY
    holds: str
    repair: str = ""
    evidence: str = ""
    timeout_s: int = 60

    @property
    def id(self) -> str:
        """`condition:NAME`."""
        return f"condition:{self.name}"

    @property
    def digest(self) -> str:
        """Covers the condition."""
        return digest_of(self.id, self.holds)

    def probe(self) -> str:
        """Prints yes or no."""
        return f"if (\n{self.holds.strip()}\n) >/dev/null 2>&1; then echo yes; else echo no; fi\n"

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """The repair, then a wait with a limit."""
        if seen.strip() == "yes":
            return None
        report = f"echo {quote(f'{self.name}: not within {self.timeout_s} s')}\n{self.evidence}"
        return Change(
            before="no",
            after="yes",
            repair=f"{self.repair.rstrip()}\n"
            + wait_for(self.holds, timeout_s=self.timeout_s, failed=report),
            timeout_s=self.timeout_s + 60,
        )
