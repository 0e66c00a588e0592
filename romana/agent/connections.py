"""Ends live connections that what is in force no longer admits, and those of pods that are gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from romana.agent.metrics import Metrics
from romana.dataplane.conntrack import Connection, cut, live
from romana.dataplane.errors import DataplaneError
from romana.objects import Address, Snapshot
from romana.policy.admission import Admission, Flow, Program
from romana.policy.evaluate import evaluate
from romana.policy.judge import Judge

RETRY_S = 1
UDP = 17
LOOKS_S = (0.1, 0.3, 0.8, 2.0)
"""How long after the end of a connection an answer is looked for that was under way then, or that
somebody took so long to give."""

End = tuple[Address, int]

log = logging.getLogger(__name__)


def narrowed(old: Admission, new: Admission) -> frozenset[Address]:
    """Addresses of the endpoints that may admit less than before. Pure. An endpoint that is new has
    no connections yet."""
    return frozenset(
        address
        for name, each in new.endpoints.items()
        if (before := old.endpoints.get(name)) is not None
        for was, now in ((before.ingress, each.ingress), (before.egress, each.egress))
        if _less(old.programs.get(was or ""), new.programs.get(now or ""))
        for address in each.endpoint.addresses
    )


def gone(old: Admission, new: Admission) -> frozenset[Address]:
    """Addresses that no endpoint has any more. Pure."""
    if old.endpoints is new.endpoints:
        return frozenset()
    return addresses(old) - addresses(new)


def addresses(admission: Admission) -> frozenset[Address]:
    """The addresses of all endpoints."""
    return frozenset(
        address for each in admission.endpoints.values() for address in each.endpoint.addresses
    )


def _less(old: Program | None, new: Program | None) -> bool:
    if new is None or old is new:
        return False
    return old is None or not old.grants <= new.grants


def _ends(connection: Connection) -> tuple[End, End]:
    flow = connection.flow
    return (flow.source, connection.source_port), (flow.destination, flow.port)


def _other_way(connection: Connection) -> Flow:
    """What its answers are, where they come first."""
    flow = connection.flow
    source, destination, port = flow.destination, flow.source, connection.source_port
    return replace(flow, source=source, destination=destination, port=port)


def turned(
    connections: Collection[Connection], judge: Judge, snapshot: Snapshot
) -> Iterator[Connection]:
    """The UDP connections that are the wrong way round: what began them was an answer, and what it
    answered is not admitted. To this host they are admitted; but not to that of the peer, which
    takes for an answer what it would deny as a question. Pure.

    Args:
        connections: of which each is admitted by this host.
        judge: of this host.
        snapshot: tells of the peer's side.
    """
    known: dict[Flow, bool] = {}
    for each in connections:
        if each.flow.protocol != UDP or judge.verdict(_other_way(each)).admitted:
            continue
        if each.flow not in known:
            known[each.flow] = evaluate(snapshot, each.flow).admitted
        if not known[each.flow]:
            yield each


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A look for answers.

    Args:
        due: monotonic seconds.
        ends: of the connections that answers would be.
    """

    due: float
    ends: frozenset[tuple[End, End]]


class Connections:
    """Compares live connections with what is in force, after each change that may have narrowed it.
    Off the critical path: a pod's start does not wait for it.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._wanted = asyncio.Event()
        self._suspects: set[Address] = set()
        self._gone: set[Address] = set()
        self._doubted = False
        self._looks: list[_Look] = []
        self._admission: Admission | None = None
        self._snapshot = Snapshot()
        self._node: frozenset[Address] = frozenset()

    def changed(self, admission: Admission, snapshot: Snapshot, node: Collection[Address]) -> None:
        """Take notice of what is in force from now on.

        Args:
            admission: just committed.
            snapshot: what it was made of.
            node: this host's own addresses.
        """
        old, self._admission, self._node = self._admission, admission, frozenset(node)
        self._snapshot = snapshot
        if old is None:  # what was in force before this agent's start is not known
            self._suspects |= addresses(admission)
            self._doubted = True
        else:
            self._suspects |= narrowed(old, admission)
            self._gone |= gone(old, admission)
        if self._suspects or self._gone:
            self._wanted.set()

    def doubt(self) -> None:
        """Compare every connection: others may have let some pass that are not admitted."""
        if self._admission is not None:
            self._suspects |= addresses(self._admission)
            self._doubted = True
            self._wanted.set()

    async def run(self) -> None:
        """Cut what must be, until cancelled."""
        while True:
            await self._until_due()
            suspects, self._suspects = self._suspects, set()
            ended, self._gone = self._gone, set()
            doubted, self._doubted = self._doubted, False
            try:
                if suspects or ended:
                    await self._cut(suspects, ended, doubted=doubted)
                await self._end_answers()
            except DataplaneError as error:
                log.warning(
                    "live connections cannot be cut; trying again", extra={"reason": str(error)}
                )
                self._suspects |= suspects
                self._gone |= ended
                self._doubted |= doubted
                await asyncio.sleep(RETRY_S)
                self._wanted.set()

    async def _until_due(self) -> None:
        """Wait until there is something to compare, or to look for."""
        due = min((each.due for each in self._looks), default=None)
        left = None if due is None else max(0.0, due - time.monotonic())
        try:
            await asyncio.wait_for(self._wanted.wait(), left)
        except asyncio.TimeoutError:
            return
        self._wanted.clear()

    async def _cut(self, suspects: set[Address], ended: set[Address], *, doubted: bool) -> None:
        assert self._admission is not None
        judge = Judge(self._admission, self._node)
        absent = ended - addresses(self._admission)

        def denied(flow: Flow) -> bool:
            if flow.source in absent or flow.destination in absent:
                return True
            return not judge.verdict(flow).admitted

        present = await live(suspects | ended)
        found = [each for each in present if denied(each.flow)]
        answers = {_ends(each)[::-1] for each in found if each.flow.protocol == UDP}
        if doubted:
            admitted, snapshot = frozenset(present) - frozenset(found), self._snapshot
            wrong = await asyncio.to_thread(lambda: list(turned(admitted, judge, snapshot)))
            answers |= {_ends(each) for each in wrong}
            found += wrong
        if not found:
            return
        self._metrics.cut.inc(await cut(found))
        for each in found:
            log.info("cut a connection that is no longer admitted", extra={"connection": str(each)})
        self._look_for(answers)

    def _look_for(self, answers: Collection[tuple[End, End]]) -> None:
        if answers:
            now, ends = time.monotonic(), frozenset(answers)
            self._looks += [_Look(due=now + after, ends=ends) for after in LOOKS_S]

    async def _end_answers(self) -> None:
        """End what answers have opened that were under way when their connections were cut. Here
        such an answer is a connection the other way, while the peer's host still knows the old one:
        if this host closes one way and that host the other, neither would ever judge it again. (TCP
        has no such answers: what opens no connection is dropped.)
        """
        now = time.monotonic()
        due = [each for each in self._looks if each.due <= now]
        self._looks = [each for each in self._looks if each.due > now]
        wanted = frozenset[tuple[End, End]]().union(*(each.ends for each in due))
        if not wanted:
            return
        present = await live({address for ends in wanted for address, _ in ends})
        again = [each for each in present if each.flow.protocol == UDP and _ends(each) in wanted]
        if again:
            self._metrics.cut.inc(await cut(again))
            self._look_for({_ends(each) for each in again})
