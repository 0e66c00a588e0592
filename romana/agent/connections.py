"""Ends live connections that what is in force no longer admits, and those of pods that are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from romana.agent.metrics import Metrics
from romana.dataplane.conntrack import Connection, cut, live
from romana.dataplane.errors import DataplaneError
from romana.objects import Address
from romana.policy.admission import Admission, Flow, Program
from romana.policy.judge import Judge

RETRY_S = 1
UDP = 17
ANSWER_S, ANSWER_ROUNDS = 0.1, 10
"""How long an answer may be under way, and how often one is looked for."""

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


def _near_end(connection: Connection) -> tuple[Address, int]:
    return connection.flow.source, connection.source_port


def _far_end(connection: Connection) -> tuple[Address, int]:
    return connection.flow.destination, connection.flow.port


class Connections:
    """Compares live connections with what is in force, after each change that may have narrowed it.
    Off the critical path: a pod's start does not wait for it.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._wanted = asyncio.Event()
        self._suspects: set[Address] = set()
        self._gone: set[Address] = set()
        self._admission: Admission | None = None
        self._node: frozenset[Address] = frozenset()

    def changed(self, admission: Admission, node: Collection[Address]) -> None:
        """Take notice of what is in force from now on.

        Args:
            admission: just committed.
            node: this host's own addresses.
        """
        old, self._admission, self._node = self._admission, admission, frozenset(node)
        if old is None:  # what was in force before this agent's start is not known
            self._suspects |= addresses(admission)
        else:
            self._suspects |= narrowed(old, admission)
            self._gone |= gone(old, admission)
        if self._suspects or self._gone:
            self._wanted.set()

    def doubt(self) -> None:
        """Compare every connection: others may have let some pass that are not admitted."""
        if self._admission is not None:
            self._suspects |= addresses(self._admission)
            self._wanted.set()

    async def run(self) -> None:
        """Cut what must be, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            suspects, self._suspects = self._suspects, set()
            ended, self._gone = self._gone, set()
            try:
                await self._cut(suspects, ended)
            except DataplaneError as error:
                log.warning(
                    "live connections cannot be cut; trying again", extra={"reason": str(error)}
                )
                self._suspects |= suspects
                self._gone |= ended
                await asyncio.sleep(RETRY_S)
                self._wanted.set()

    async def _cut(self, suspects: set[Address], ended: set[Address]) -> None:
        assert self._admission is not None
        judge = Judge(self._admission, self._node)
        absent = ended - addresses(self._admission)

        def denied(flow: Flow) -> bool:
            if flow.source in absent or flow.destination in absent:
                return True
            return not judge.verdict(flow).admitted

        found = [each for each in await live(suspects | ended) if denied(each.flow)]
        if not found:
            return
        count = await cut(found)
        self._metrics.cut.inc(count)
        for each in found:
            log.info("cut a connection that is no longer admitted", extra={"connection": str(each)})
        await self._end_answers([each for each in found if each.flow.protocol == UDP])

    async def _end_answers(self, ended: Collection[Connection]) -> None:
        """End what answers have opened that were under way when their connections were cut. Here
        such an answer is a connection the other way, while the peer's host still knows the old one:
        if this host closes one way and that host the other, neither would ever judge it again. (TCP
        has no such answers: what opens no connection is dropped.)
        """
        backs = {(*_far_end(each), *_near_end(each)) for each in ended}
        concerned = {each.flow.source for each in ended} | {each.flow.destination for each in ended}
        for _ in range(ANSWER_ROUNDS if ended else 0):
            await asyncio.sleep(ANSWER_S)
            again = [
                each
                for each in await live(concerned)
                if each.flow.protocol == UDP and (*_near_end(each), *_far_end(each)) in backs
            ]
            if not again:
                return
            self._metrics.cut.inc(await cut(again))
