"""Probes at work: attempts run in the pods until every one has its verdict."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from installer.kubernetes import Shell
from installer.smoke import scripts
from installer.smoke.flows import Check, Expect, Flow
from installer.smoke.judge import Answer, Sample, Verdict, decide, limited, overdue, sample
from installer.smoke.pace import Pace
from installer.smoke.placement import Addresses, Probe, destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One check asked of one probe. `steady`: blocked before the change as well."""

    check: Check
    probe: Probe
    steady: bool = False


@dataclass(slots=True, kw_only=True)
class Watch:
    """Attempts of several probes, started at once."""

    shells: Mapping[str, Shell]
    addresses: Addresses
    pace: Pace
    samples: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    async def start(self, probes: Iterable[Probe], dense: frozenset[Flow]) -> None:
        """Has all probes attempted again and again, one message for each pod.

        Args:
            probes: what to try.
            dense: flows that are tried at short intervals.
        """
        lines: dict[str, list[str]] = defaultdict(list)
        for probe in probes:
            self._listen(probe)
            address, port = destination(probe, self.addresses)
            pause = scripts.DENSE_MS if probe.flow in dense else scripts.SPARSE_MS
            line = scripts.watch(probe.id, probe.flow.transport, address, port, pause)
            lines[probe.source.name].append(line)
        await asyncio.gather(
            *(self.shells[name].send("\n".join(text)) for name, text in lines.items())
        )

    async def stop(self, probes: Iterable[Probe]) -> None:
        """Ends their attempts."""
        lines: dict[str, list[str]] = defaultdict(list)
        for probe in probes:
            lines[probe.source.name].append(scripts.stop(probe.id))
        await asyncio.gather(
            *(self.shells[name].send("\n".join(text)) for name, text in lines.items())
        )

    async def verdicts(
        self, questions: Sequence[Question], changed_at: float, limit_s: float
    ) -> dict[Question, Verdict]:
        """Waits for a verdict on every question; ends a probe's attempts when all that is asked of
        it is answered. What is open after `limit_s` seconds has failed."""
        found: dict[Question, Verdict] = {}
        running = {question.probe for question in questions}
        while running:
            for question in questions:
                if question not in found:
                    verdict = self._decide(question, changed_at)
                    if verdict is not None:
                        found[question] = verdict
            waited = time.monotonic() - changed_at
            if waited > limit_s:
                for question in questions:
                    found.setdefault(question, self._overdue(question, waited))
            done = running - {q.probe for q in questions if q not in found}
            if done:
                await self.stop(done)
                running -= done
            await asyncio.sleep(self.pace.tick_s if running else 0)
        return found

    async def controls(self, probes: Sequence[Probe]) -> dict[Probe, bool]:
        """Whether each control connects, tried now."""
        begun = time.monotonic()
        check = Check("control", Expect.CONNECTS, ())
        await self.start(probes, frozenset(probe.flow for probe in probes))
        questions = [Question(check=check, probe=probe) for probe in probes]
        found = await self.verdicts(questions, begun, self.pace.control_limit_s)
        return {question.probe: verdict.passed for question, verdict in found.items()}

    def connected(self, probe: Probe) -> bool:
        """Whether any attempt of this probe connected."""
        return any(s.answer is Answer.CONNECTED for s in self.samples[probe.id])

    def _listen(self, probe: Probe) -> None:
        kept = self.samples[probe.id]
        address, _ = destination(probe, self.addresses)

        def told(at: float, text: str) -> None:
            number, _, output = text.partition(" ")
            kept.append(sample(probe.flow.transport, address, int(number), at, output))

        self.shells[probe.source.name].listen(probe.id, told)

    def _decide(self, question: Question, changed_at: float) -> Verdict | None:
        probe, check = question.probe, question.check
        names_itself = probe.flow.transport == "tcp" and probe.flow.via != "host"
        verdict = decide(
            check.expect,
            self.samples[probe.id],
            changed_at,
            source=self.addresses.pods[probe.source.name],
            server=probe.target.name if names_itself else "",
            steady=question.steady,
        )
        return limited(verdict) if verdict is not None and check.timed else verdict

    def _overdue(self, question: Question, waited: float) -> Verdict:
        return overdue(question.check.expect, self.samples[question.probe.id], waited)
