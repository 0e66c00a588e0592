"""Runs the kernel's tools (nft, ip): no shell, a time limit, errors that carry what the tool
said."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import Callable
from typing import IO

from romana.dataplane.errors import CommandError

TIMEOUT_S = 20.0


class Timeout(CommandError):
    """A command took too long and was killed: what it was to do may be done or not."""


async def run(
    *command: str,
    text: str = "",
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
    with _readable(text) as given:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=given,
                stdout=PIPE,
                stderr=PIPE,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            reason = f"cannot be started ({error.strerror})"
            raise CommandError(command, None, "", reason) from error
    if started is not None:
        started(process.pid)
    try:
        output, errors = await asyncio.wait_for(process.communicate(), timeout_s)
    except asyncio.TimeoutError:
        raise Timeout(command, None, "", f"took more than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            # With its children: one that lives on holds the pipes, which are waited for.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        said = errors.decode(errors="replace")
        raise CommandError(command, process.returncode, said, f"failed ({process.returncode})")
    return output.decode()


def _readable(text: str) -> IO[bytes]:
    """A file in memory that holds the text. Not a pipe: nft reads its input twice with `-j`."""
    file = os.fdopen(os.memfd_create("input"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file
