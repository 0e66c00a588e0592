"""Runs the kernel's tools (nft, ip): no shell, a time limit, errors that carry what the tool
said."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable

from romana.dataplane.errors import CommandError

TIMEOUT_S = 20.0


class Timeout(CommandError):
    """A command took too long and was killed: what it was to do may be done or not."""


async def run(
    *command: str,
    text: str | None = None,
    timeout_s: float = TIMEOUT_S,
    started: Callable[[int], None] | None = None,
) -> str:
    """Run a command and return its standard output.

    Args:
        command: program and arguments.
        text: given to its standard input.
        timeout_s: after so many seconds it is killed.
        started: called with the process id.

    Raises:
        Timeout: it took too long.
        CommandError: it ended with an exit code other than 0, or could not be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL if text is None else PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise CommandError(command, None, "", f"cannot be started ({error.strerror})") from error
    if started is not None:
        started(process.pid)
    payload = None if text is None else text.encode()
    try:
        output, errors = await asyncio.wait_for(process.communicate(payload), timeout_s)
    except asyncio.TimeoutError:
        raise Timeout(command, None, "", f"took more than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = errors.decode(errors="replace")
        raise CommandError(command, process.returncode, said, f"failed ({process.returncode})")
    return output.decode()
