"""A plan as it is shown in check mode, and how often hosts were asked."""

from __future__ import annotations

from collections.abc import Mapping

from installer.engine import drift
from installer.engine.plan import Plan, Verdict, Work
from installer.events import Emit, ResourceResult, RoleStarted
from installer.hosts.session import Session


def show(plan: Plan, emit: Emit, known: drift.Since | None = None) -> None:
    """The plan, as the results that carrying it out would have.

    Args:
        plan: to show.
        emit: is told.
        known: since when what differs is known to differ.
    """
    for works in plan.roles():
        hosts = tuple(work.host for work in works)
        emit(RoleStarted(role=works[0].role, title=works[0].title, hosts=hosts))
        for work in works:
            for verdict in work.verdicts:
                emit(_result(work, verdict, known or {}))


def _result(work: Work, verdict: Verdict, known: drift.Since) -> ResourceResult:
    change = verdict.change
    return ResourceResult(
        host=work.host,
        role=work.role,
        resource=verdict.resource.id,
        outcome="failed" if verdict.error else "changed" if change else "ok",
        before=change.before if change else "",
        after=change.after if change else "",
        diff=change.diff if change else "",
        reason=verdict.error,
        since=known.get((work.host, verdict.resource.id), "") if change else "",
    )


def trips(sessions: Mapping[str, Session]) -> dict[str, int]:
    """How often each host was asked something, by its name."""
    return {name: session.round_trips for name, session in sessions.items()}
