"""Writes sets to the kernel: by netlink where it speaks the protocol that is known here, else by
the program `ipset`. Both are given the same lines."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from romana.dataplane.commands import run
from romana.dataplane.direct import Order
from romana.dataplane.errors import NetlinkError
from romana.dataplane.requests import Netfilter
from romana.dataplane.xtables.direct import (
    GET_PROTOCOL,
    GET_TYPE,
    IN_USE,
    REASONS,
    REVISIONS,
    deleting,
    has_revision,
    orders,
    protocol_question,
    speaks,
    subject,
    type_question,
)
from romana.dataplane.xtables.sets import destruction, parse_held

TIMEOUT_S = 60.0
MANY = 2_000
"""Lines that are made messages of in a thread, so that others have their turn meanwhile."""
PROMPT = "ipset> "
WHAT = "change our sets"

log = logging.getLogger(__name__)


class SetWriter(Protocol):
    """Changes sets. Used by one task at a time."""

    async def write(self, lines: Sequence[str]) -> None:
        """Carry out lines of `ipset restore`, in order; what follows one that was refused is
        carried out in part or not at all, but nothing is deleted then.

        Raises:
            CommandError, NetlinkError: refused.
        """

    async def take_back(self, lines: Sequence[str]) -> None:
        """Carry out lines that undo what was done, as far as it was done.

        Raises:
            CommandError, NetlinkError: refused.
        """

    async def destroy(self, names: frozenset[str]) -> frozenset[str]:
        """Destroy sets.

        Returns:
            Those that rules still look up.

        Raises:
            CommandError, NetlinkError: refused.
        """


class DirectWriter:
    """By netlink.

    Args:
        kernel: an open socket.
    """

    def __init__(self, kernel: Netfilter) -> None:
        self._kernel = kernel

    async def write(self, lines: Sequence[str]) -> None:
        """Carry out lines; the first that takes something away waits for those before it."""
        made = await _orders(lines, exist=False)
        cut = next((at for at, each in enumerate(made) if deleting(each)), len(made))
        for part in (made[:cut], made[cut:]):
            _complain(part, await self._kernel.carry_out(part, WHAT))

    async def take_back(self, lines: Sequence[str]) -> None:
        """Carry out lines that undo others; sets that are not there are no error."""
        made = await _orders(lines, exist=True)
        refused = await self._kernel.carry_out(made, WHAT, all_of_them=True)
        _complain(made, refused, but=(errno.ENOENT,))

    async def destroy(self, names: frozenset[str]) -> frozenset[str]:
        """Destroy sets. The kernel is not asked which are in use, but told to destroy them all."""
        ordered = sorted(names)
        made = await _orders(tuple(destruction(ordered)), exist=True)
        refused = await self._kernel.carry_out(made, WHAT, all_of_them=True)
        _complain(made, refused, but=(errno.ENOENT, IN_USE))
        return frozenset(ordered[at] for at, number in refused.items() if number == IN_USE)


class ProgramWriter:
    """By the program."""

    async def write(self, lines: Sequence[str]) -> None:
        """Carry out lines; it ends with the first that is refused."""
        await run("ipset", "restore", text=_text(lines), timeout_s=TIMEOUT_S)

    async def take_back(self, lines: Sequence[str]) -> None:
        """Carry out lines that undo others."""
        await run("ipset", "-exist", "restore", text=_text(lines), timeout_s=TIMEOUT_S)

    async def destroy(self, names: frozenset[str]) -> frozenset[str]:
        """Destroy those sets of which it says that nothing looks them up."""
        asked = "".join(f"list {each} -terse\n" for each in sorted(names))
        held = parse_held(await ask_ipset(asked))
        await self.write(tuple(destruction(sorted(names - held))))
        return names & held


async def set_writer(*, direct: bool = True) -> SetWriter:
    """The fastest that works here: in the network namespace of the calling thread.

    Args:
        direct: False for that by the program.
    """
    if direct:
        try:
            kernel = Netfilter().open()
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            reason = await _strangeness(kernel)
            if not reason:
                return DirectWriter(kernel)
            kernel.close()
        log.info("sets are written by the program ipset", extra={"reason": reason})
    return ProgramWriter()


async def ask_ipset(questions: str) -> str:
    """Have several questions answered by one process, about the sets that they name alone.

    Raises:
        CommandError: one of those sets is not there.
    """
    return (await run("ipset", "-", text=f"{questions}quit\n")).replace(PROMPT, "")


async def _strangeness(kernel: Netfilter) -> str:
    """Why the kernel is not to be spoken to directly; empty where it is."""
    try:
        answer = await kernel.ask(GET_PROTOCOL, protocol_question(), "tell ipset's protocol")
        if not speaks(answer):
            return "the kernel speaks another protocol"
        for name in REVISIONS:
            answer = await kernel.ask(GET_TYPE, type_question(name), f"tell of sets {name}")
            if not has_revision(name, answer):
                return f"the kernel has other sets {name}"
    except NetlinkError as error:
        return str(error)
    return ""


async def _orders(lines: Sequence[str], *, exist: bool) -> list[Order]:
    if len(lines) < MANY:
        return list(orders(lines, exist=exist))
    return await asyncio.to_thread(lambda: list(orders(lines, exist=exist)))


def _complain(made: Sequence[Order], refused: Mapping[int, int], but: tuple[int, ...] = ()) -> None:
    """Tell of the first refusal, but for those with some numbers."""
    for at, number in refused.items():
        if number not in but:
            what = f"change set {subject(made[at])}"
            raise NetlinkError(what, number, REASONS.get(number) or os.strerror(number))


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
