"""Carries an upgrade's plan out, step by step; what is next is decided by `steps` and `batches`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from installer.cluster import Cluster
from installer.drain import (
    DrainFailed,
    cordon,
    drain,
    emptied,
    held,
    soften,
    uncordon,
    unsoften,
)
from installer.drain.evict import Waiting
from installer.engine.apply import Applied, apply
from installer.engine.outcome import Failure, first_line
from installer.engine.plan import Plan, probe
from installer.engine.plan import judge as judge_resource
from installer.errors import HostError, InstallerError
from installer.events import Emit, Notice, Phase, RollOut, VersionChange
from installer.hosts.session import Session
from installer.kubernetes import Api, ApiError
from installer.upgrade import gates, steps
from installer.upgrade.batches import Node, next_batch
from installer.upgrade.settings import Settings
from installer.upgrade.steps import Steps

VALIDATE_LIMIT_S = 60.0
VALIDATE_EVERY_S = 3.0
"""Between two looks: a kubelet that dies again at once is not taken for one that works."""
_API_LIMIT_S = 60.0
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_SILENCE_S = 10.0
"""After which an API server counts as one that does not run."""
Answer = TypeVar("Answer")


class Stopped(InstallerError):
    """A gate did not open; the roll-out ends here.

    Args:
        host: where.
        phase: in which phase.
    """

    def __init__(self, host: str, phase: Phase, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.host = host
        self.phase = phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingOut:
    """One roll-out.

    Args:
        cluster: whose hosts and zones count.
        plan: what has to be done, of all hosts.
        changes: versions that the plan changes.
        sessions: by host name.
        emit: is told everything.
        settings: how.
        snapshot: called once before a control plane is touched.
    """

    cluster: Cluster
    plan: Plan
    changes: Sequence[VersionChange]
    sessions: Mapping[str, Session]
    emit: Emit
    settings: Settings
    snapshot: Callable[[], str]

    async def run(self, api: Api) -> Applied:
        """All of it, up to the first gate that does not open.

        Raises:
            ApiError: the API server refuses, or was silent for too long.
        """
        try:
            await self._all(api)
        except Stopped as stop:
            reason = stop.message + (f" ({stop.advice})" if stop.advice else "")
            failure = Failure(host=stop.host, role=stop.phase, reason=reason)
            return Applied(changed=True, failures=(failure,))
        return Applied(changed=True, failures=())

    async def _all(self, api: Api) -> None:
        if not await self._answers(api):
            # A run before was killed while it restarted the only API server there is.
            await self._control_planes(self._order({}).control_plane, alone=True)
            known = await self._nodes(api)
            order = replace(self._order(known), control_plane=self._order({}).control_plane)
        else:
            known = await self._nodes(api)
            order = self._order(known)
            await self._control_planes(order.control_plane, alone=False)
        await self._at_once(order, order.joining, "join")
        await self._at_once(order, order.undisturbed, "replace")
        async with self._soft(api, order.nodes):
            for name in order.controllers:
                await self._drained(api, order, (name,))
            await self._in_batches(api, order)

    def _order(self, nodes: Mapping[str, Any]) -> Steps:
        """The order by what the API knows of nodes; without it, of all as if they were nodes."""
        return steps.steps(
            self.plan,
            self.cluster,
            self.changes,
            known=nodes.keys() or self._hosts,
            held=[name for name in held(list(nodes.values())) if name in self._hosts],
        )

    async def _answers(self, api: Api) -> bool:
        try:
            await self._nodes(api, limit_s=_SILENCE_S)
        except ApiError as error:
            if error.status != 0:
                raise
            return False
        return True

    @property
    def _hosts(self) -> frozenset[str]:
        return frozenset(work.host for work in self.plan.works)

    async def _control_planes(self, names: Sequence[str], *, alone: bool) -> None:
        if not names:
            return
        if not alone:
            with self._phase("snapshot", names[:1]) as told:
                told.append(await asyncio.to_thread(self.snapshot))
        every = [host.name for host in self.cluster.controllers]
        for name in names:
            await self._healthy([other for other in every if other != name], before=name)
            with self._phase("control-plane", (name,)) as told:
                await self._apply(steps.control_part(self.plan, name), "control-plane")
                told.append("upgraded, healthy")
                await self._healthy(every, before=name)

    async def _healthy(self, names: Sequence[str], *, before: str) -> None:
        reason = await asyncio.to_thread(gates.failing, self.plan, names, self.sessions)
        if reason:
            raise Stopped(before, "control-plane", reason, "see: romana-install status")

    async def _at_once(self, order: Steps, names: Sequence[str], phase: Phase) -> None:
        part = steps.rest(self.plan, names, order.control_plane)
        if not part.pending:
            return
        with self._phase(phase, names) as told:
            await self._apply(part, phase)
            told.append("changed, pods stayed" if phase == "replace" else "joined")

    async def _in_batches(self, api: Api, order: Steps) -> None:
        left, first = list(order.nodes), True
        while left:
            nodes = await self._nodes(api)
            workers = [host for host in self.cluster.nodes if not host.is_controller]
            seen = [
                Node(name=host.name, zone=host.zone, down=_down(nodes.get(host.name)))
                for host in workers
            ]
            try:
                names = next_batch(
                    [node for node in seen if node.name in left],
                    [node for node in seen if node.name not in left],
                    self.settings.batch,
                    canary=first,
                )
            except InstallerError as error:
                raise Stopped(left[0], "cordon", error.message, error.advice) from None
            await self._drained(api, order, names)
            left = [name for name in left if name not in names]
            first = False

    async def _drained(self, api: Api, order: Steps, names: Sequence[str]) -> None:
        """Nodes out of service, replaced, and given back: also after a failure."""
        before = _ready(await self._nodes(api))
        try:
            with self._phase("cordon", names) as told:
                taken = [await _patiently(partial(cordon, api, name)) for name in names]
                told.append("no new pods" if all(taken) else "was cordoned already")
            await self._empty(api, names)
            with self._phase("replace", names) as told:
                await self._apply(steps.rest(self.plan, names, order.control_plane), "replace")
                told.append("replaced")
            with self._phase("validate", names) as told:
                await asyncio.gather(*(self._valid(api, name, before) for name in names))
                told.append("Ready, seen twice")
        finally:
            await self._give_back(api, names)

    async def _empty(self, api: Api, names: Sequence[str]) -> None:
        async def one(name: str) -> None:
            def tell(waiting: Waiting) -> None:
                if waiting.blocked:
                    blocked = "; ".join(str(each) for each in waiting.blocked)
                    self.emit(RollOut(phase="drain", hosts=(name,), text=f"waits for {blocked}"))

            with self._phase("drain", (name,)) as told:
                await drain(
                    api,
                    name,
                    timeout_s=self.settings.drain_timeout_s,
                    tell=tell,
                    bare=self.settings.bare,
                )
                told.append("empty")

        outcomes = await asyncio.gather(*(one(name) for name in names), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, DrainFailed):
                raise Stopped(outcome.node, "drain", outcome.message, outcome.advice)
            if isinstance(outcome, BaseException):
                raise outcome

    async def _valid(self, api: Api, name: str, before: frozenset[str]) -> None:
        """Two looks in a row at which all is as it should be."""
        deadline, good, said = time.monotonic() + VALIDATE_LIMIT_S, 0, ""
        reported = await _reported(api, name)
        while good < 2:
            said = await self._wrong(api, name, before)
            if not said and await _reported(api, name) == reported:
                # The API server takes it for Ready for 40 s after its last word.
                said = f"its kubelet has said nothing since {reported}"
            good = 0 if said else good + 1
            if time.monotonic() > deadline and said:
                raise Stopped(
                    name, "validate", f"not within {VALIDATE_LIMIT_S:.0f} s: {said}",
                    "see: romana-install status",
                )  # fmt: skip
            if good < 2:
                await asyncio.sleep(VALIDATE_EVERY_S)

    async def _wrong(self, api: Api, name: str, before: frozenset[str]) -> str:
        """What is not as it should be: of the node, of its host, or of a node that was Ready
        before."""
        nodes = await self._nodes(api)
        wanted = {c.program: c.after for c in self.changes if c.host == name}.get("kubelet")
        kubelet = nodes[name]["status"]["nodeInfo"]["kubeletVersion"]
        if missing := sorted((before | {name}) - _ready(nodes)):
            return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not Ready"
        if wanted and kubelet != wanted:
            return f"its kubelet says that it is {kubelet}"
        return await asyncio.to_thread(self._looked, name)

    def _looked(self, name: str) -> str:
        resources = [
            resource
            for work in self.plan.works
            if work.host == name and work.role == "verify"
            for resource in work.resources
        ]
        try:
            seen = probe(self.sessions[name], resources)
        except HostError as error:
            return first_line(error.message)
        for number, resource in enumerate(resources):
            verdict = judge_resource(resource, seen[number], set())
            if verdict.change or verdict.error:
                return f"does not hold: {resource.id.removeprefix('condition:')}"
        return ""

    async def _give_back(self, api: Api, names: Sequence[str]) -> None:
        for name in names:
            try:
                with self._phase("uncordon", (name,)) as told:
                    await _patiently(partial(unsoften, api, name))
                    free = await _patiently(partial(uncordon, api, name))
                    told.append("takes pods" if free else "stays cordoned, as it was")
            except ApiError as error:
                text = f"{name} stays cordoned until the next run: {error.message}"
                self.emit(Notice(text=text, level="warning"))

    @contextlib.asynccontextmanager
    async def _soft(self, api: Api, names: Sequence[str]) -> AsyncIterator[None]:
        """Pods prefer nodes that are upgraded already, and are not evicted twice."""
        for name in names:
            await _patiently(partial(soften, api, name))
        try:
            yield
        finally:
            for name in names:
                with contextlib.suppress(ApiError):  # only a preference; the next run takes it
                    await _patiently(partial(unsoften, api, name))

    async def _apply(self, plan: Plan, phase: Phase) -> None:
        done = await asyncio.to_thread(apply, plan, self.sessions, self.emit)
        if done.failures:
            first = done.failures[0]
            raise Stopped(first.host, phase, f"in role {first.role}: {first.reason}")

    @contextlib.contextmanager
    def _phase(self, phase: Phase, hosts: Sequence[str]) -> Iterator[list[str]]:
        """Tells of a phase as it begins, and, with what was put in the list, once it is done."""
        started, told = time.monotonic(), list[str]()
        self.emit(RollOut(phase=phase, hosts=tuple(hosts), text="begins"))
        yield told
        seconds = time.monotonic() - started
        self.emit(RollOut(phase=phase, hosts=tuple(hosts), text="; ".join(told), seconds=seconds))

    async def _nodes(self, api: Api, limit_s: float = _API_LIMIT_S) -> dict[str, Any]:
        """All nodes by name."""
        listed = await _patiently(partial(api.get, "/api/v1/nodes"), limit_s)
        return {node["metadata"]["name"]: node for node in listed["items"]}


async def taken_out(api: Api) -> bool:
    """Whether a run before has left nodes out of service. Where the API is silent nothing is known
    of nodes, and what is down is mended without it."""
    try:
        return bool(held((await api.get("/api/v1/nodes"))["items"]))
    except ApiError as error:
        if error.status != 0:
            raise
        return False


async def _patiently(ask: Callable[[], Awaitable[Answer]], limit_s: float = _API_LIMIT_S) -> Answer:
    """The API's answer; one that restarts is given time."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return await ask()
        except ApiError as error:
            if error.status != 0 or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def _reported(api: Api, name: str) -> str:
    """When a node's kubelet has reported last, by its own clock."""
    lease = await _patiently(partial(api.get, f"{_LEASES}/{name}"))
    return str(lease["spec"].get("renewTime", ""))


def _ready(nodes: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name, node in nodes.items() if _is_ready(node))


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _down(node: Mapping[str, Any] | None) -> bool:
    """Whether a node serves nobody anyway: not Ready, or emptied by a run that was killed. One that
    an operator has cordoned serves those that it has."""
    return node is None or not _is_ready(node) or bool(emptied(node))
