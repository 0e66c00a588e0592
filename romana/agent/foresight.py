"""What the agent says of the cluster as a whole: who reaches whom, and what a change would do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from romana.agent.errors import BAD_REQUEST, RequestError
from romana.agent.reconciler import Reconciler
from romana.dataplane.conntrack import live
from romana.objects import Address, Snapshot
from romana.policy.change import change
from romana.policy.compile import compile_admission
from romana.policy.judge import Judge
from romana.policy.reach import reach
from romana.sources.errors import SourceError
from romana.sources.manifests import applied

Values = dict[str, Any]


class Foresight:
    """Answers from what is in force. The work is done beside the event loop.

    Args:
        reconciler: knows what is in force.
        node: this host's own addresses.
    """

    def __init__(self, *, reconciler: Reconciler, node: Callable[[], Collection[Address]]) -> None:
        self._reconciler = reconciler
        self._node = node

    async def matrix(self, parameters: Mapping[str, Any]) -> Values:
        """Who reaches whom, in the whole cluster, or what concerns the pods of a `namespace`."""
        snapshot, endpoints = self._reconciler.snapshot, self._reconciler.endpoints()
        namespace = parameters.get("namespace") or None
        found = await asyncio.to_thread(reach, snapshot, endpoints, namespace)
        return found.as_json()

    async def diff(self, parameters: Mapping[str, Any]) -> Values:
        """What a file would open and cut: `text` and `name` are the file's, with `remove` its
        objects are taken away.

        Raises:
            RequestError: the file cannot be read.
            DataplaneError: the live connections cannot be read.
        """
        snapshot, endpoints = self._reconciler.snapshot, self._reconciler.endpoints()
        try:
            new = applied(
                snapshot,
                str(parameters["text"]).encode(),
                str(parameters["name"]),
                remove=bool(parameters.get("remove")),
            )
        except (SourceError, KeyError) as error:
            raise RequestError(BAD_REQUEST, str(error)) from error
        found = await asyncio.to_thread(change, snapshot, new, endpoints)
        return {**found.as_json(), "connections": await self._ended(new)}

    async def _ended(self, new: Snapshot) -> list[str]:
        """The live connections of this host that would end."""
        endpoints, old = self._reconciler.endpoints(), self._reconciler.admission
        admission = await asyncio.to_thread(compile_admission, new, endpoints)
        addresses = {address for each in endpoints for address in each.addresses}
        was, would = Judge(old, self._node()), Judge(admission, self._node())
        return [
            str(each)
            for each in await live(addresses)
            if was.verdict(each.flow).admitted and not would.verdict(each.flow).admitted
        ]
