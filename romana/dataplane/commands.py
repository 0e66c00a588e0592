"""Runs the kernel's tools (nft, ip): no shell, a time limit, errors that carry what the tool
said."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
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
    process = await _start(command, text, PIPE, started)
    try:
        output, errors = await asyncio.wait_for(process.communicate(), timeout_s)
    except asyncio.TimeoutError:
        raise Timeout(command, None, "", f"took more than {timeout_s:g} s") from None
    finally:
        await _kill(process)
    _judge(command, process, errors)
    return output.decode()


async def run_until(
    line: str,
    *command: str,
    text: str = "",
    timeout_s: float = TIMEOUT_S,
    started: Callable[[int], None] | None = None,
) -> asyncio.Future[bool]:
    """Run a command until it prints a line by which it tells that all is done, or ends: of use
    where its end takes longer than its work.

    Args:
        line: without its end. A command that ends well without it has done all, too.
        command, text, timeout_s, started: as of `run`.

    Returns:
        What waits for the command's end; the caller keeps it until it is done.

    Raises:
        Timeout: it took too long.
        CommandError: it ended with an exit code other than 0, or could not be started.
    """
    with os.fdopen(os.memfd_create("errors"), "w+b") as errors:
        process = await _start(command, text, errors, started)
        printed = asyncio.Event()
        waiting = asyncio.ensure_future(printed.wait())
        ending = asyncio.ensure_future(_attend(process, line.encode(), printed, timeout_s))
        try:
            await asyncio.wait((waiting, ending), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            ending.cancel()
            await asyncio.wait((ending,))
            raise
        finally:
            waiting.cancel()
        if printed.is_set():
            return ending
        if not await ending:
            raise Timeout(command, None, "", f"took more than {timeout_s:g} s")
        errors.seek(0)
        _judge(command, process, errors.read())
        return ending


async def _attend(process: Process, line: bytes, printed: asyncio.Event, timeout_s: float) -> bool:
    """Read what a command prints, and wait for its end; whether it came in time."""

    async def attend() -> None:
        assert process.stdout is not None
        async for each in process.stdout:
            if each.rstrip() == line:
                printed.set()
        await process.wait()

    try:
        await asyncio.wait_for(attend(), timeout_s)
    except asyncio.TimeoutError:
        return False
    finally:
        await _kill(process)
    return True


async def _start(
    command: tuple[str, ...],
    text: str,
    errors: IO[bytes] | int,
    started: Callable[[int], None] | None,
) -> Process:
    """Start a command that is given a text and whose output is read."""
    with _readable(text) as given:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=given,
                stdout=PIPE,
                stderr=errors,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            reason = f"cannot be started ({error.strerror})"
            raise CommandError(command, None, "", reason) from error
    if started is not None:
        started(process.pid)
    return process


async def _kill(process: Process) -> None:
    """End a command, if it has not ended, with its children: one that lives on holds the pipes,
    which are waited for."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it may have ended without our having heard of it
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _judge(command: tuple[str, ...], process: Process, errors: bytes) -> None:
    """Raise CommandError unless a command ended well."""
    if process.returncode:
        said = errors.decode(errors="replace")
        raise CommandError(command, process.returncode, said, f"failed ({process.returncode})")


def _readable(text: str) -> IO[bytes]:
    """A file in memory that holds the text. Not a pipe: nft reads its input twice with `-j`."""
    file = os.fdopen(os.memfd_create("input"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file
