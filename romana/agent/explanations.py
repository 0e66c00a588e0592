"""Answers `romana explain`: by policies, and by what this host's kernel does and has counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from romana.agent.errors import BAD_REQUEST, NOT_FOUND, RequestError
from romana.agent.kernel import Kernel
from romana.agent.reconciler import Reconciler
from romana.objects import Protocol
from romana.policy.admission import Direction, Endpoint, Flow
from romana.verify.forms import UnknownForm
from romana.verify.reading import table_of
from romana.verify.trace import trace

Values = dict[str, Any]


class Explanations:
    """Explains what is in force.

    Args:
        reconciler: knows it.
        kernel: is read back.
    """

    def __init__(self, reconciler: Reconciler, kernel: Kernel) -> None:
        self._reconciler = reconciler
        self._kernel = kernel

    async def explain(self, parameters: Mapping[str, Any]) -> Values:
        """Why a flow passes, or what stops it.

        Raises:
            RequestError: the question names something that is not there.
        """
        from romana.policy.explain import explain
        from romana.policy.parties import UnknownParty, flow_between

        snapshot, endpoints = self._reconciler.snapshot, self._reconciler.endpoints()
        try:
            protocol = Protocol(str(parameters.get("protocol", "TCP")).upper())
            flow = flow_between(
                snapshot,
                str(parameters["from"]),
                str(parameters["to"]),
                protocol,
                parameters["port"],
                endpoints,
            )
        except UnknownParty as error:
            raise RequestError(NOT_FOUND, str(error)) from error
        except (KeyError, ValueError) as error:
            raise RequestError(
                BAD_REQUEST, f"explain needs from, to, port, protocol: {error}"
            ) from error
        found = explain(snapshot, flow, endpoints, self._reconciler.admission)
        kernel = await self._traced(flow, endpoints)
        lines = list(found.lines)
        for side in kernel["sides"]:
            lines += filter(None, (side["text"], side["counted"]))
        if kernel["unknown"]:
            lines.append(f"the kernel's table is not understood: {kernel['unknown']}")
        if kernel["sides"] and not found.admitted:
            counts = ", ".join(f"{name} {count}" for name, count in kernel["dropped"].items())
            lines.append(f"packets dropped on this host since its table was made: {counts}")
        return {**found.as_json(), "kernel": kernel, "lines": lines}

    async def _traced(self, flow: Flow, endpoints: Sequence[Endpoint]) -> Values:
        """What the kernel of this host does with a connection, on the sides that are here."""
        found: Values = {"sides": [], "dropped": {}, "unknown": ""}
        reading = await self._kernel.enforcement.reading()
        if reading is None:
            return found
        try:
            table = await asyncio.to_thread(table_of, reading)
            for direction, own in (
                (Direction.EGRESS, flow.source),
                (Direction.INGRESS, flow.destination),
            ):
                for each in endpoints:
                    if own in each.addresses:
                        traced = await asyncio.to_thread(trace, table, each, direction, flow)
                        found["sides"].append({**traced.as_json(), "counted": traced.counted})
        except UnknownForm as error:
            found["unknown"] = error.what
        found["dropped"] = dict(await self._kernel.dropped())
        return found
