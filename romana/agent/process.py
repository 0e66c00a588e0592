"""The agent as a process: its parts run together, and only once on a host."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from romana.agent.errors import AgentError

_CANCEL_AGAIN_S = 1.0


async def run_until(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until the event is set. A part that fails fails all; one that has done its work
    may end."""
    stopped = asyncio.create_task(stop.wait())
    tasks = {asyncio.create_task(part) for part in parts}
    try:
        pending: set[asyncio.Task[Any]] = {stopped, *tasks}
        while stopped in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        await _end({stopped, *tasks})


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel until all have ended. Once is not enough: where a result comes at the same moment,
    `asyncio.wait_for` before Python 3.12 returns it and the cancellation is lost
    (https://github.com/python/cpython/issues/86296).
    """
    while tasks:
        for task in tasks:
            task.cancel()
        ended, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)
        # What a part says while it is ended is no news, but has to be looked at.
        await asyncio.gather(*ended, return_exceptions=True)


def only_one(path: Path) -> int:
    """Hold a lock file for as long as this process lives; its descriptor.

    Raises:
        AgentError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AgentError(f"another agent is running on this state: {path} is locked") from None
    return descriptor
