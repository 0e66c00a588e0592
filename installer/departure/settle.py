"""What the cluster has to do with a node that leaves."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from installer.cluster import Cluster
from installer.drain import cordon, drain
from installer.drain.evict import Waiting
from installer.drain.nodes import path
from installer.events import Emit, Notice
from installer.kubernetes import Api, ApiError, read

BLOCKS = "/apis/romana.io/v1/addressblocks"
OURS = "romana.io/segment"
"""A label that every node of ours bears; a node without it was brought by somebody else."""
_GONE = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """With pods that have to move.

    Args:
        drain_s: seconds that emptying a node may take.
        evict_bare: whether pods go that nothing would start again elsewhere.
    """

    drain_s: float = 300
    evict_bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A node that leaves. One whose host cannot be reached is only forgotten."""

    node: str
    reachable: bool = True


def registered(cluster: Cluster) -> tuple[str, ...]:
    """Names of the nodes of ours that the cluster has.

    Raises:
        InstallerError: the API server cannot be asked.
    """

    async def ask() -> tuple[str, ...]:
        async with Api(read(cluster.kubeconfig)) as api:
            nodes = (await api.get("/api/v1/nodes"))["items"]
        return tuple(
            str(node["metadata"]["name"])
            for node in nodes
            if OURS in (node["metadata"].get("labels") or {})
        )

    return asyncio.run(ask())


def empty(
    cluster: Cluster, departures: Sequence[Departure], patience: Patience, emit: Emit
) -> None:
    """Has no more pods sent to the nodes, then moves those that are there, one node after the
    other. A node whose kubelet is silent cannot end its pods; its departure ends them.

    Args:
        cluster: that goes on; its kubeconfig is written.
        departures: who leaves.
        patience: with pods.
        emit: is told what is waited for.

    Raises:
        DrainFailed: a node could not be emptied; nothing has been taken off its host.
        ApiError: the API server cannot be asked.
    """
    asyncio.run(_empty(cluster, departures, patience, emit))


async def _empty(
    cluster: Cluster, departures: Sequence[Departure], patience: Patience, emit: Emit
) -> None:
    async with Api(read(cluster.kubeconfig)) as api:
        # All of them first, so that none is sent what another one has to give up.
        names = [each.node for each in departures if await _cordoned(api, each.node)]
        for name in names:
            if _silent(await api.get(path(name))):
                text = f"{name} is silent: its pods end with its departure, and are not moved"
                emit(Notice(text=text, level="warning"))
                continue
            emit(Notice(text=f"node {name} leaves: moving its pods"))
            await drain(
                api,
                name,
                timeout_s=patience.drain_s,
                tell=lambda waiting: _tell(waiting, emit),
                bare=patience.evict_bare,
            )


async def _cordoned(api: Api, name: str) -> bool:
    """Whether the node is there, and takes no more pods."""
    try:
        await cordon(api, name)
    except ApiError as error:
        if error.status != _GONE:
            raise
        return False
    return True


def _silent(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "Unknown" for each in conditions)


def _tell(waiting: Waiting, emit: Emit) -> None:
    if waiting.blocked:
        held = "; ".join(map(str, waiting.blocked))
        emit(Notice(text=f"waiting for a disruption budget: {held}", level="warning"))


def forget(cluster: Cluster, departures: Sequence[Departure], emit: Emit) -> None:
    """Deletes the nodes' objects and releases their address blocks; other hosts' agents then
    remove their routes there. The copies of their certificates on this machine go too.

    To be called when nothing of ours runs on the hosts any more: a kubelet that starts would
    register its node again.

    Raises:
        ApiError: the API server cannot be asked.
    """
    asyncio.run(_forget(cluster, departures, emit))
    for each in departures:
        shutil.rmtree(cluster.state / "pki" / "hosts" / each.node, ignore_errors=True)


async def _forget(cluster: Cluster, departures: Sequence[Departure], emit: Emit) -> None:
    names = {each.node for each in departures}
    async with Api(read(cluster.kubeconfig)) as api:
        for name in sorted(names):
            await api.delete(path(name))
        blocks = (await api.get(BLOCKS))["items"]
        released = [block for block in blocks if block["spec"]["node"] in names]
        for block in released:
            await _release(api, block)
    for each in departures:
        cidrs = [b["spec"]["cidr"] for b in released if b["spec"]["node"] == each.node]
        what = f", address blocks {', '.join(cidrs)} released" if cidrs else ""
        emit(Notice(text=f"node {each.node} has left{what}"))


async def _release(api: Api, block: Mapping[str, Any]) -> None:
    """Exactly the claim that was seen: a block that was claimed anew meanwhile is another's."""
    metadata = block["metadata"]
    exactly = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    try:
        await api.delete(f"{BLOCKS}/{metadata['name']}", preconditions=exactly)
    except ApiError as error:
        if error.reason != "Conflict":
            raise
