"""Listens for what others do to our table and our routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from romana.agent.kernel import Kernel
from romana.dataplane.netlink import (
    NETFILTER,
    ROUTE,
    Listener,
    Overflowed,
    RouteChanged,
    RulesetChanged,
)
from romana.dataplane.routes import PROTOCOL

SETTLE_S = 0.1
"""Our own changes are told too, perhaps before we know ourselves that they were made."""


async def watch_tables(kernel: Kernel, audit: Callable[[], None]) -> None:
    """Call for an audit whenever somebody else has touched our table, until cancelled."""
    listener = Listener(NETFILTER)
    changes: list[RulesetChanged] = []
    loop = asyncio.get_running_loop()

    def settle() -> None:
        foreign = [each for each in changes if not kernel.enforcement.own(each)]
        changes.clear()
        for each in foreign:
            kernel.repairs.suspect(each)
        if foreign:
            audit()

    try:
        async for each in listener.notifications():
            if isinstance(each, Overflowed):
                audit()
            elif isinstance(each, RulesetChanged) and each.tables & kernel.enforcement.watched:
                if not changes:
                    loop.call_later(SETTLE_S, settle)
                changes.append(each)
    finally:
        listener.close()


async def watch_routes(kernel: Kernel, audit: Callable[[], None]) -> None:
    """Call for an audit whenever our routes are not as we left them, until cancelled."""
    listener = Listener(ROUTE)
    changes: dict[str, bool] = {}
    loop = asyncio.get_running_loop()

    def settle() -> None:
        known = kernel.destinations
        unexpected = [to for to, added in changes.items() if added != (to in known)]
        changes.clear()
        if unexpected:
            audit()

    try:
        async for each in listener.notifications():
            if isinstance(each, Overflowed):
                audit()
            elif isinstance(each, RouteChanged) and each.protocol == int(PROTOCOL):
                if not changes:
                    loop.call_later(SETTLE_S, settle)
                changes[str(each.destination)] = each.added
    finally:
        listener.close()
