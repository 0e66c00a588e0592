"""Carries out a plan: role by role, all hosts of a role at once, the next role when all have ended.

Each host gets a role's repairs in one round trip and is then probed again: what still differs has
failed. A host on which something failed is left out of later roles; the others go on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from installer.engine.confirm import confirm
from installer.engine.outcome import Failure, first_line, result, still
from installer.engine.parallel import over_hosts
from installer.engine.plan import Plan, Work
from installer.engine.script import Section, began, payloads, repairs, sections
from installer.engine.settling import settled
from installer.errors import HostError, Unreachable
from installer.events import (
    Emit,
    Notice,
    Outcome,
    Progress,
    RoleFinished,
    RoleStarted,
)
from installer.hosts.session import Session
from installer.resources.base import Change, Resource

REASON_LINES = 25
WORTH_TELLING = 4 << 20
"""Bytes of a transfer whose progress is told."""
TELL_EVERY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """How it went."""

    changed: bool
    failures: tuple[Failure, ...]


def apply(plan: Plan, sessions: Mapping[str, Session], emit: Emit) -> Applied:
    """Carries out the plan.

    Args:
        plan: from `probe_all`, with the same sessions.
        sessions: by host name.
        emit: is told everything.
    """
    failures: dict[str, Failure] = {}
    prepares = {host: _prepares(plan, host) for host in sessions}
    changed: set[str] = set()
    for works in plan.roles():
        able = [work for work in works if work.host not in failures]
        _announce(works, able, failures, emit)
        runs = [
            _Run(
                work=work,
                session=sessions[work.host],
                emit=emit,
                prepare=prepares[work.host] if work.host not in changed else (),
            )
            for work in able
        ]
        changed |= {work.host for work in able if work.changes}
        for work, outcome in zip(able, over_hosts(_Run.carry_out, runs), strict=True):
            failure = _lost(work, outcome, emit) if isinstance(outcome, HostError) else outcome
            if failure is not None:
                failures[work.host] = failure
    if changed:
        able_hosts = sorted(changed - failures.keys())
        failures |= {item.host: item for item in confirm(plan, able_hosts, sessions, emit)}
    return Applied(changed=bool(changed), failures=tuple(failures.values()))


def _prepares(plan: Plan, host: str) -> tuple[str, ...]:
    """What the host has to forget before its first repair, whichever role that belongs to."""
    works = (work for work in plan.works if work.host == host)
    return tuple(change.prepare for work in works for _, change in work.changes if change.prepare)


def _announce(
    works: Sequence[Work], able: Sequence[Work], failures: Mapping[str, Failure], emit: Emit
) -> None:
    role, title = works[0].role, works[0].title
    emit(RoleStarted(role=role, title=title, hosts=tuple(work.host for work in able)))
    for work in works:
        if work.host in failures:
            reason = f"{work.host} failed in role {failures[work.host].role}"
            for resource in work.resources:
                emit(result(work, resource, "skipped", reason=reason))
            emit(RoleFinished(role=role, host=work.host, outcome="skipped", reason=reason))


def _lost(work: Work, error: HostError, emit: Emit) -> Failure:
    gone = isinstance(error, Unreachable)
    outcome: Outcome = "unreachable" if gone else "failed"
    reason = "\n".join(part for part in (error.message, error.output) if part)
    for resource, change in work.changes[:1]:
        emit(result(work, resource, outcome, change, reason=reason))
    emit(RoleFinished(role=work.role, host=work.host, outcome=outcome, reason=reason))
    return Failure(host=work.host, role=work.role, reason=error.message, unreachable=gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One role on one host."""

    work: Work
    session: Session
    emit: Emit
    prepare: tuple[str, ...]

    def carry_out(self) -> Failure | None:
        """Repairs, probes again and reports; the first resource that failed, if any did."""
        started = time.monotonic()
        repaired = self._repair() if self.work.changes else {}
        settled = self._settle(repaired)
        failure = None
        for resource, change, outcome, reason in settled:
            self.emit(result(self.work, resource, outcome, change, reason=reason))
            if outcome == "failed" and failure is None:
                failure = Failure(
                    host=self.work.host,
                    role=self.work.role,
                    reason=f"{resource.id}: {first_line(reason)}",
                )
        self.emit(
            RoleFinished(
                role=self.work.role,
                host=self.work.host,
                outcome="failed" if failure else "changed" if repaired else "ok",
                changed=sum(outcome == "changed" for _, _, outcome, _ in settled),
                seconds=time.monotonic() - started,
                reason=failure.reason if failure else "",
            )
        )
        return failure

    def _repair(self) -> Mapping[str, Section]:
        """Sections of output by resource id; those never begun are missing."""
        resources, changes = zip(*self.work.changes, strict=True)
        marker = f"romana-{secrets.token_hex(8)}"

        def on_line(line: str) -> None:
            number = began(line, marker)
            if number is not None:
                self._progress(resources[number].id, number, len(resources))

        told = [0.0]

        def on_sent(done: int, total: int) -> None:
            now = time.monotonic()
            if total > WORTH_TELLING and (now - told[0] > TELL_EVERY_S or done == total):
                told[0] = now
                self._progress("sending files", done, total, "B")

        output = self.session.run(
            repairs(changes, marker, self.prepare),
            files=payloads(changes) or (),
            timeout_s=sum(change.timeout_s for change in changes),
            on_line=on_line,
            on_sent=on_sent,
        )
        found = sections(output.stdout, marker)
        if not found:
            raise HostError(
                self.work.host,
                f"{self.work.host}: nothing could be changed: {first_line(output.last_lines())}",
                output=output.last_lines(),
            )
        self.emit(Notice(text=f"{self.work.host} {self.work.role}\n{output.stdout}", level="debug"))
        return {resources[number].id: section for number, section in found.items()}

    def _progress(self, what: str, done: float, total: float, unit: str = "") -> None:
        self.emit(
            Progress(
                what=f"{self.work.role}: {what}",
                done=done,
                total=total,
                unit=unit,
                host=self.work.host,
            )
        )

    def _settle(
        self, repaired: Mapping[str, Section]
    ) -> list[tuple[Resource, Change | None, Outcome, str]]:
        """Each resource's outcome, once what was repaired has been probed again."""
        complete = all(section.status == 0 for section in repaired.values())
        again = settled(self.session, self.work.resources) if repaired and complete else []
        outcomes: list[tuple[Resource, Change | None, Outcome, str]] = []
        for verdict, now in zip_longest(self.work.verdicts, again):
            resource, change = verdict.resource, verdict.change
            outcome, reason = _outcome(change, repaired.get(resource.id))
            if verdict.error:
                outcome, reason = "failed", verdict.error
            elif now is not None and (now.error or now.change) and outcome != "failed":
                outcome = "failed"
                reason = still(now.change) if now.change else now.error
            outcomes.append((resource, change, outcome, reason))
        return outcomes


def _outcome(change: Change | None, section: Section | None) -> tuple[Outcome, str]:
    if change is None:
        return "ok", ""
    if section is None:
        return "skipped", "an earlier resource of the host failed"
    if section.status == 0:
        return "changed", ""
    lines = section.text.strip().splitlines()[-REASON_LINES:]
    return "failed", "\n".join(lines) or f"its repair ended with {section.status}"
