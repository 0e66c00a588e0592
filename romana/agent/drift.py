"""Listens for what others do to our table and our routes."""

from __future__ import annotations

import asyncio
import logging
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
from romana.dataplane.ruleset import TABLE

SETTLE_S = 0.2
"""Our own changes of routes are told too, perhaps before we know ourselves that they were made."""

log = logging.getLogger(__name__)


async def watch_tables(kernel: Kernel, audit: Callable[[], None]) -> None:
    """Call for an audit whenever somebody else has touched our table, until cancelled."""
    listener = Listener(NETFILTER)
    try:
        async for each in listener.notifications():
            foreign = (
                isinstance(each, RulesetChanged)
                and TABLE in each.tables
                and not kernel.backend.own(each)
            )
            if foreign:
                log.warning("somebody touched our table", extra={"what": each})
            if foreign or isinstance(each, Overflowed):
                audit()
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
