"""Evicts a node's pods through the API, which honours disruption budgets, and waits until they are
gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from installer.drain.nodes import path as node_path
from installer.drain.selection import Pod, Selection, select
from installer.errors import InstallerError
from installer.kubernetes import Api, ApiError

_TOO_MANY = 429
_GONE = 404
_BY_POLICY_V1 = 22
"""The minor release from which evictions are of policy/v1."""
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A pod that may not be evicted now, and the API's reason, which names the budget."""

    pod: Pod
    why: str

    def __str__(self) -> str:
        return f"{self.pod} ({self.why})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a drain still waits for: pods that a budget holds, and pods that are ending."""

    blocked: tuple[Blocked, ...]
    ending: tuple[Pod, ...]


class DrainFailed(InstallerError):
    """A node could not be emptied.

    Args:
        node: its name.
        waiting: what it waited for last.
    """

    def __init__(self, node: str, message: str, waiting: Waiting, advice: str) -> None:
        super().__init__(message, advice)
        self.node = node
        self.waiting = waiting


async def drain(
    api: Api,
    node: str,
    *,
    timeout_s: float,
    tell: Callable[[Waiting], None],
    bare: bool = False,
) -> None:
    """Evicts what has to go from a cordoned node, again and again where a budget forbids it, until
    all is gone. An API server that is away for a moment is asked again.

    Args:
        api: the cluster's.
        node: its name.
        timeout_s: how long all of it may take, the pods' own time to end included.
        tell: is told what is waited for, whenever that changes.
        bare: evict also pods that nothing starts again.

    Raises:
        DrainFailed: it took too long, the node has pods that nothing would start again, or it went
            down meanwhile: its pods cannot end then.
        ApiError: the API refuses for another reason.
    """
    await _Drain(api, node, timeout_s, tell, bare).run()


class _Drain:
    def __init__(
        self,
        api: Api,
        node: str,
        timeout_s: float,
        tell: Callable[[Waiting], None],
        bare: bool,
    ) -> None:
        self._api = api
        self._node = node
        self._timeout_s = timeout_s
        self._tell = tell
        self._bare = bare
        self._version = ""
        self._last = Waiting(blocked=(), ending=())
        self._silence = ""

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        while True:
            try:
                if await self._round():
                    return
                self._silence = ""
            except ApiError as error:
                if error.status != 0:
                    raise
                self._silence = error.message
            if clock() >= deadline:
                raise self._late()
            await asyncio.sleep(POLL_S)

    async def _round(self) -> bool:
        """Asks for the eviction of all that is left; whether nothing is."""
        self._version = self._version or await _eviction_version(self._api)
        left = await self._left()
        if left.bare and not self._bare:
            raise self._failure(
                f"it runs {_names(left.bare)}, which nothing would start again elsewhere",
                "delete them, or have them evicted: --evict-bare-pods",
            )
        pods = left.evict + left.bare
        if not pods:
            return True
        await self._require_up()
        reasons = await asyncio.gather(*(self._evict(pod) for pod in pods))
        blocked = tuple(
            Blocked(pod=pod, why=why) for pod, why in zip(pods, reasons, strict=True) if why
        )
        ending = tuple(pod for pod, why in zip(pods, reasons, strict=True) if not why)
        waiting = Waiting(blocked=blocked, ending=ending)
        if waiting != self._last:
            self._last = waiting
            self._tell(waiting)
        return False

    async def _left(self) -> Selection:
        chosen = {"fieldSelector": f"spec.nodeName={self._node}"}
        return select(await self._api.get("/api/v1/pods", **chosen))

    async def _require_up(self) -> None:
        """A node whose kubelet is silent ends no pod: there is no point in waiting."""
        node = await self._api.get(node_path(self._node))
        ready: Mapping[str, Any] = next(
            (c for c in node["status"].get("conditions") or () if c["type"] == "Ready"), {}
        )
        if ready.get("status") == "Unknown":
            raise self._failure(
                f"it went down meanwhile: {ready.get('message') or ready.get('reason')}",
                "bring the host back, or remove it from the inventory, and run again",
            )

    async def _evict(self, pod: Pod) -> str:
        """Why the pod may not go now; empty where it goes."""
        where = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction"
        body = {
            "apiVersion": self._version,
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            # Not its successor of the same name, a StatefulSet's.
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        try:
            await self._api.create(where, body)
        except ApiError as error:
            if error.status == _TOO_MANY:
                return "; ".join(cause for cause in error.causes if cause) or error.message
            if error.status == _GONE or error.reason == "Conflict":
                return ""
            if "PodDisruptionBudget" in error.message:
                return "more than one disruption budget covers it, which no eviction passes"
            raise
        return ""

    def _late(self) -> DrainFailed:
        limit = f"within {self._timeout_s:.0f} s"
        if self._silence:
            return self._failure(f"not {limit}: {self._silence}", "run again once it answers")
        if self._last.blocked:
            held = "; ".join(str(each) for each in self._last.blocked)
            return self._failure(
                f"disruption budgets allow no more evictions {limit}: {held}",
                "give the workload more replicas or its budget room, or wait longer: "
                "--drain-timeout SECONDS",
            )
        return self._failure(
            f"pods have not ended {limit}: {_names(self._last.ending)}",
            "see why: kubectl describe pod; or wait longer: --drain-timeout SECONDS",
        )

    def _failure(self, why: str, advice: str) -> DrainFailed:
        message = f"{self._node} cannot be drained: {why}"
        return DrainFailed(self._node, message, self._last, advice)


async def _eviction_version(api: Api) -> str:
    version = await api.get("/version")
    minor = int("".join(c for c in str(version["minor"]) if c.isdigit()))
    return "policy/v1" if minor >= _BY_POLICY_V1 else "policy/v1beta1"


def _names(pods: tuple[Pod, ...]) -> str:
    few, more = pods[:5], len(pods) - 5
    return ", ".join(str(pod) for pod in few) + (f" and {more} more" if more > 0 else "")
