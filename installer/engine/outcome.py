"""How a resource came out, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from installer.engine.plan import Work
from installer.events import Outcome, ResourceResult
from installer.resources.base import Change, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a host did not get through: shown at the end, and kept in the journal."""

    host: str
    role: str
    reason: str
    unreachable: bool = False


def result(
    work: Work,
    resource: Resource,
    outcome: Outcome,
    change: Change | None = None,
    *,
    reason: str = "",
) -> ResourceResult:
    """The event of one resource's outcome."""
    return ResourceResult(
        host=work.host,
        role=work.role,
        resource=resource.id,
        outcome=outcome,
        before=change.before if change else "",
        after=change.after if change else "",
        diff=change.diff if change else "",
        reason=reason,
    )


def still(change: Change) -> str:
    """What is told of a resource that differs though it was repaired."""
    return f"still differs after its repair: {change.before} -> {change.after}"


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line for line in text.splitlines() if line.strip()), "no output")
