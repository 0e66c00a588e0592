"""The phases of one run: change the policies, try the flows, draw the conclusions."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from installer.events import CheckResult
from installer.smoke import evidence
from installer.smoke.checks import DENY, PHASES
from installer.smoke.evidence import HostShell
from installer.smoke.flows import Check, Expect, Flow, Phase, Policy, Scope
from installer.smoke.health import Health, kept, look
from installer.smoke.judge import Verdict
from installer.smoke.placement import Player, Probe, control, probes
from installer.smoke.stage import Stage
from installer.smoke.streams import Stream
from installer.smoke.watching import Question, Watch

_PROBED = (Expect.CONNECTS, Expect.BLOCKED, Expect.SOURCE)
Found = list[tuple[Probe | None, Verdict]]


@dataclass(slots=True, kw_only=True)
class Play:
    """One run of the table, and what has happened so far."""

    stage: Stage
    hosts: Mapping[str, HostShell]
    results: list[CheckResult] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _streams: list[Stream] = field(default_factory=list)
    _reached: frozenset[tuple[Flow, str, str]] = frozenset()
    _health: Health | None = None

    async def all(self) -> None:
        """Every phase of the table, in its order."""
        before: Phase | None = None
        for phase in PHASES:
            await self._phase(phase, before)
            before = phase

    def report(self, result: CheckResult) -> None:
        """Keeps and emits a result."""
        self.results.append(result)
        self.stage.emit(result)

    async def _phase(self, phase: Phase, before: Phase | None) -> None:
        pace = self.stage.pace
        watch = Watch(shells=self.stage.shells, addresses=self.stage.addresses, pace=pace)
        asked = questions(phase, before, self.stage.pods, self._numbers)
        dense = frozenset(flow for c in phase.checks if c.timed for flow in c.flows)
        await watch.start({question.probe for question in asked}, dense)
        changed_at = time.monotonic()
        await self.stage.change(before.policies if before else (), phase.policies)
        limit = pace.phase_limit_s if before else pace.open_limit_s
        verdicts = await watch.verdicts(asked, changed_at, limit)
        if before is None:
            self._reached = frozenset(_path(q.probe) for q in asked if watch.connected(q.probe))
        await self._doubt(watch, verdicts)
        if DENY in phase.policies and self._health is None:
            self._health = await look(self.stage)
        lines = [
            (check, scope, part)
            for check in phase.checks
            for scope, part in by_scope(await self._found(check, verdicts, changed_at))
        ]
        shown = await asyncio.gather(
            *(self._evidence(part, phase.policies, watch) for _, _, part in lines)
        )
        for (check, scope, part), text in zip(lines, shown, strict=True):
            self.report(conclusion(check, scope, part, text))
        await self._open_streams(phase)

    async def _doubt(self, watch: Watch, verdicts: dict[Question, Verdict]) -> None:
        """Silence means a policy only where the path works without one and the server is alive."""
        silent = [q for q, v in verdicts.items() if q.check.expect is Expect.BLOCKED and v.passed]
        controls = {_path(own): own for own in (control(q.probe) for q in silent)}
        alive = await watch.controls(tuple(controls.values()))
        answering = {_path(own) for own, connected in alive.items() if connected}
        for question in silent:
            if _path(question.probe) not in self._reached:
                doubt = "no answer, but it did not connect without a policy either"
            elif _path(control(question.probe)) not in answering:
                doubt = "no answer, but the server does not answer itself either"
            else:
                continue
            verdicts[question] = Verdict(False, doubt)

    async def _found(
        self, check: Check, verdicts: Mapping[Question, Verdict], changed_at: float
    ) -> Found:
        """The verdicts on a check, with the probes they are about."""
        if check.expect is Expect.HEALTHY:
            assert self._health is not None  # the table denies everything before it asks
            return [(None, await kept(self.stage, self._health))]
        if check.expect is Expect.CUT:
            cuts = await asyncio.gather(*(stream.cut(changed_at) for stream in self._streams))
            await asyncio.gather(*(stream.close() for stream in self._streams))
            return [(stream.probe, cut) for stream, cut in zip(self._streams, cuts, strict=True)]
        return [(q.probe, v) for q, v in verdicts.items() if q.check is check]

    async def _evidence(self, part: Found, policies: Sequence[Policy], watch: Watch) -> str:
        """What is shown of the first failure; nothing where there is none."""
        failed = next((probe for probe, verdict in part if not verdict.passed), None)
        if failed is None:
            return ""
        samples = watch.samples[failed.id]
        return await evidence.gather(self.stage, failed, policies, samples, self.hosts)

    async def _open_streams(self, phase: Phase) -> None:
        opened = [
            Stream(probe=probe, shells=self.stage.shells, pace=self.stage.pace)
            for flow in phase.streams
            for probe in probes(flow, self.stage.pods, self._numbers)
        ]
        await asyncio.gather(*(s.open(self.stage.addresses) for s in opened))
        self._streams += opened


def questions(
    phase: Phase, before: Phase | None, pods: tuple[Player, ...], numbers: Iterator[int]
) -> list[Question]:
    """Every check of every probe of a phase; a flow that several checks ask about is probed
    once."""
    was = {
        flow: check.expect for check in (before.checks if before else ()) for flow in check.flows
    }
    placed: dict[Flow, tuple[Probe, ...]] = {}
    asked = []
    for check in (check for check in phase.checks if check.expect in _PROBED):
        for flow in check.flows:
            if flow not in placed:
                placed[flow] = probes(flow, pods, numbers)
            blocked = check.expect is Expect.BLOCKED and was.get(flow) is Expect.BLOCKED
            asked += [
                Question(check=check, probe=probe, steady=blocked and phase.sudden)
                for probe in placed[flow]
                if check.only in (None, probe.scope)
            ]
    return asked


def by_scope(found: Found) -> list[tuple[Scope | None, Found]]:
    """The verdicts on a check parted by scope, as far as there are any."""
    parts = [
        (scope, [(p, v) for p, v in found if (p.scope if p else None) is scope])
        for scope in (None, *Scope)
    ]
    return [(scope, part) for scope, part in parts if part]


def conclusion(check: Check, scope: Scope | None, part: Found, shown: str) -> CheckResult:
    """One line of the report."""
    failed = [(p, v) for p, v in part if not v.passed]
    if failed:
        probe, verdict = failed[0]
        observed = f"{probe}: {verdict.observed}" if probe else verdict.observed
        observed += f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    else:
        observed = "; ".join(dict.fromkeys(verdict.observed for _, verdict in part))
    return CheckResult(
        name=f"{check.title}, {scope.value}" if scope else check.title,
        expected=check.expect.value,
        observed=observed,
        passed=not failed,
        seconds=max(verdict.seconds for _, verdict in part),
        evidence=shown,
        where=scope.value if scope else "",
    )


def _path(probe: Probe) -> tuple[Flow, str, str]:
    return probe.flow, probe.source.name, probe.target.name
