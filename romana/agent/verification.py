"""Proves now and then that the kernel enforces what it should, in the time it is given."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from romana.agent.errors import TRY_LATER, RequestError
from romana.agent.metrics import Metrics
from romana.agent.reconciler import Reconciler
from romana.agent.repairs import Repairs
from romana.dataplane.backends import Reading
from romana.dataplane.errors import DataplaneError
from romana.dataplane.nftables import INTERFACE_PREFIX, Settings
from romana.objects import Address, Snapshot
from romana.policy.admission import Admission
from romana.policy.evaluate import evaluate
from romana.policy.explain import explain
from romana.verify.forms import UnknownForm
from romana.verify.intent import Intent, Masquerading
from romana.verify.proof import Finding, Step, prove
from romana.verify.reading import table_of
from romana.verify.sample import sample

SHARE = 0.25
"""Of one processor, at most, when the timer starts it."""
LIMIT_S = 60.0
"""Of processor time for one proof; a table that takes longer is not proven."""
SAMPLE_S = 2.0
"""Of processor time for questions to the reference evaluator."""
SLICE_S = 0.05
"""Of processor time, without a pause."""
ATTEMPTS = 20
SHOWN = 20
"""Differences that are told one by one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one proof came to.

    Args:
        at: when, in UTC.
        seconds: of processor time.
        classes: of packets, that were compared.
        sampled: flows that the reference evaluator was asked for.
        differences: classes on which kernel and intent differ.
        shown: the first of them, in words.
        unproven: why nothing is proven; empty where it is.
    """

    at: datetime
    seconds: float = 0.0
    classes: int = 0
    sampled: int = 0
    differences: int = 0
    shown: tuple[dict[str, Any], ...] = ()
    unproven: str = ""

    @property
    def text(self) -> str:
        """One line for the operator."""
        when = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        if self.unproven:
            return f"not proven, {when}: {self.unproven}"
        if self.differences:
            more = f" and {self.differences - 1} more" if self.differences > 1 else ""
            return f"NOT EQUAL to the policies, {when}: {self.shown[0]['text']}{more}"
        return f"proven equal to the policies, {when}, over {self.classes} classes of packets"

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "equal": not self.differences and not self.unproven,
            "at": self.at.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "classes": self.classes,
            "sampled": self.sampled,
            "differences": self.differences,
            "shown": list(self.shown),
            "unproven": self.unproven,
            "text": self.text,
        }


class Verification:
    """Runs the proof: on a timer, after repairs, and when asked.

    Args:
        reconciler: knows the intent, and whether it is being written right now.
        settings: what of the configuration is in the table.
        reading: what the kernel holds of ours.
        node: this host's own addresses.
        repairs: told which traffic they concerned.
        metrics: told of the outcome.
        interval_s: of the timer; 0 for none.
    """

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        settings: Callable[[], Settings],
        reading: Callable[[], Awaitable[Reading | None]],
        node: Callable[[], Collection[Address]],
        repairs: Repairs,
        metrics: Metrics,
        interval_s: float,
    ) -> None:
        self._reconciler = reconciler
        self._settings = settings
        self._reading = reading
        self._node = node
        self._repairs = repairs
        self._metrics = metrics
        self._interval_s = interval_s
        self._wanted = asyncio.Event()
        self._turn = asyncio.Lock()
        self._seed = 0
        self._drifted: Reading | None = None
        self.last: Result | None = None

    def repaired(self, table: Reading | None) -> None:
        """The table had been changed by somebody else and has been repaired: find out which traffic
        that concerned, and prove that the repair is one.

        Args:
            table: as it was read before the repair; None where it was gone.
        """
        self._drifted = table
        self._wanted.set()

    async def run(self) -> None:
        """Prove now and then, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._wanted.wait(), self._interval_s or None)
            except asyncio.TimeoutError:
                log.debug("time for a proof")
            self._wanted.clear()
            if not self._reconciler.enforced_once:
                continue
            try:
                if self._drifted:
                    await self._concern()
                await self._prove(SHARE)
            except DataplaneError as error:
                log.warning("the kernel cannot be read back", extra={"reason": str(error)})

    async def _concern(self) -> None:
        """Say which traffic a change concerned that has been repaired."""
        text, self._drifted = self._drifted, None
        assert text is not None
        await self._reconciler.idle()
        worker = self._worker()
        try:
            await _paced(worker.compare(text), SHARE, worker, LIMIT_S)
        except UnknownForm as error:
            self._repairs.concerned([f"not understood: {error.what}"])
            return
        for finding in worker.findings:
            self._metrics.drift_traffic.labels(finding.wrong).inc()
        self._repairs.concerned([str(each) for each in worker.findings])

    def _worker(self) -> Worker:
        snapshot, admission = self._reconciler.snapshot, self._reconciler.admission
        return Worker(snapshot, admission, frozenset(self._node()), self._settings())

    async def verify(self, _: object) -> dict[str, Any]:
        """The agent's method: prove now, at full speed.

        Raises:
            RequestError: policies are not in force yet.
            DataplaneError: the kernel cannot be read.
        """
        if not self._reconciler.enforced_once:
            advice = "try again when `romana status` says that policies are in force"
            raise RequestError(TRY_LATER, "policies are not in force yet", advice)
        return (await self._prove(1.0)).as_json()

    async def _prove(self, share: float) -> Result:
        async with self._turn:
            result = await self._attempt(share)
            self.last = result
        self._metrics.verify_differences.set(result.differences)
        self._metrics.verified.set(not result.differences and not result.unproven)
        self._metrics.verify_seconds.set(result.seconds)
        for each in result.shown:
            log.error("the kernel does not enforce the policies", extra={"what": each["text"]})
        if result.unproven:
            log.warning("nothing is proven", extra={"reason": result.unproven})
        return result

    async def _attempt(self, share: float) -> Result:
        now = datetime.now(timezone.utc)
        for _ in range(ATTEMPTS):
            await self._reconciler.idle()
            rounds = self._reconciler.rounds
            worker = self._worker()
            text = await self._reading()
            if self._reconciler.rounds == rounds:
                break
        else:
            return Result(at=now, unproven="policies change all the time; try again")
        if text is None:
            return Result(at=now, unproven="nothing of ours is in the kernel")
        self._seed += 1
        try:
            complete = await _paced(worker.compare(text), share, worker, LIMIT_S)
            await _paced(worker.ask(self._seed), share, worker, SAMPLE_S)
        except UnknownForm as error:
            return Result(at=now, seconds=worker.seconds, unproven=f"not understood: {error.what}")
        return worker.result(now, complete=complete)


class Worker:
    """One proof, as far as it has come."""

    def __init__(
        self,
        snapshot: Snapshot,
        admission: Admission,
        node: frozenset[Address],
        settings: Settings,
    ) -> None:
        self._snapshot, self._admission, self._node = snapshot, admission, node
        self._settings = settings
        self.seconds = 0.0
        self._classes = 0
        self._sampled = 0
        self.findings: list[Finding] = []
        self._faults: list[str] = []

    def compare(self, text: Reading) -> Iterator[None]:
        """Look at one class after the other."""
        masquerading = Masquerading(
            pods=self._settings.pod_networks,
            direct=self._settings.direct_networks,
            enabled=self._settings.masquerade,
        )
        table = table_of(text)
        yield
        for step in prove(table, Intent(self._admission, INTERFACE_PREFIX, masquerading)):
            self._take(step)
            yield

    def ask(self, seed: int) -> Iterator[None]:
        """Ask the reference evaluator."""
        for fault in sample(self._snapshot, self._admission, self._node, seed):
            self._sampled += 1
            if fault:
                self._faults.append(fault)
            yield

    def result(self, at: datetime, *, complete: bool) -> Result:
        """What it came to."""
        shown = [self._told(each) for each in self.findings[:SHOWN]]
        shown += [{"text": fault} for fault in self._faults[: SHOWN - len(shown)]]
        return Result(
            at=at,
            seconds=self.seconds,
            classes=self._classes,
            sampled=self._sampled,
            differences=len(self.findings) + len(self._faults),
            shown=tuple(shown),
            unproven="" if complete else f"gave up after {LIMIT_S:.0f} s of work",
        )

    def _take(self, step: Step) -> None:
        self._classes += 1
        self.findings.extend(step.findings)

    def _told(self, finding: Finding) -> dict[str, Any]:
        """A finding with what the policies say of its packet, and who is wrong."""
        endpoints = [each.endpoint for each in self._admission.endpoints.values()]
        reasons = explain(self._snapshot, finding.flow, endpoints, self._admission)
        reference = evaluate(self._snapshot, finding.flow)
        told = finding.as_json()
        told["policies"] = [reasons.egress.text, reasons.ingress.text]
        told["reference_admits"] = reference.admitted
        sides = (reasons.egress, reasons.ingress)
        why = "; ".join(side.text for side in sides if side.outcome.value in ("admitted", "denied"))
        told["text"] = f"{told['text']}: {why}" if why else told["text"]
        return told


async def _paced(work: Iterator[None], share: float, worker: Worker, limit_s: float) -> bool:
    """Do work in slices, beside the event loop, with pauses that leave the processor to others;
    whether it came to its end within the limit."""
    end = worker.seconds + limit_s
    while worker.seconds < end:
        done, seconds = await asyncio.to_thread(_slice, work)
        worker.seconds += seconds
        if done:
            return True
        if share < 1:
            await asyncio.sleep(seconds * (1 / share - 1))
    return False


def _slice(work: Iterator[None]) -> tuple[bool, float]:
    """Some steps; whether there are no more, and the processor time they took."""
    began = time.thread_time()
    for _ in work:
        seconds = time.thread_time() - began
        if seconds > SLICE_S:
            return False, seconds
    return True, time.thread_time() - began
