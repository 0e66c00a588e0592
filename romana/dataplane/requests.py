"""Asks the kernel's netfilter subsystems by netlink, without a process of nft or conntrack."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from romana.dataplane.direct import Order
from romana.dataplane.errors import NetlinkError
from romana.dataplane.messages import (
    ACK,
    DONE,
    DUMP,
    ERROR,
    REQUEST,
    Message,
    attribute,
    message,
    messages,
)

NETFILTER = 12
TIMEOUT_S = 20.0
DATAGRAM_BYTES = 2**18
BATCH_BEGIN, BATCH_END = 16, 17
GENERATION = 1
SEND_BUFFER_FORCE, RECEIVE_BUFFER_FORCE = 32, 33
BATCH_ANSWER_BYTES = 2**22
PART_BYTES, PART_ORDERS = 2**16, 500
"""Of orders that are sent before they are answered for."""


class Netfilter:
    """A socket for requests; a context manager, used by one task.

    Its methods take the type of a message (subsystem and kind), its body, and `what` it asks, in a
    few words that fit behind "the kernel refused to".
    """

    def __init__(self) -> None:
        self._sequence = 0

    def __enter__(self) -> Netfilter:
        return self.open()

    def open(self) -> Netfilter:
        """Make the socket, in the network namespace of the calling thread."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETFILTER)
        self._socket.bind((0, 0))
        return self

    def close(self) -> None:
        """Close the socket. The kernel takes milliseconds for that: it first finishes what was
        deleted by anybody."""
        self._socket.close()

    @property
    def port(self) -> int:
        """What the kernel tells others of this socket when it tells of what it was asked to do."""
        port, _ = self._socket.getsockname()
        return int(port)

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self.close()

    async def ask(self, kind: int, body: bytes, what: str) -> bytes:
        """Ask for one thing; the body of the answer.

        Raises:
            NetlinkError: the kernel refused, or does not answer.
        """
        self._send(kind, REQUEST, (body,))
        return (await self._receive(what))[0].body

    async def dump(self, kind: int, body: bytes, what: str) -> list[bytes]:
        """Ask for all things of a kind; their bodies.

        Raises:
            NetlinkError: the kernel refused, or does not answer.
        """
        self._send(kind, REQUEST | DUMP, (body,))
        bodies: list[bytes] = []
        while True:
            for each in await self._receive(what):
                if each.type == DONE:
                    return bodies
                bodies.append(each.body)
            await asyncio.sleep(0)  # the next part may be there already: others have their turn

    async def order(self, kind: int, bodies: Sequence[bytes], what: str) -> int:
        """Order things done.

        Returns:
            How many of them were there to be done.

        Raises:
            NetlinkError: the kernel refused, or does not answer.
        """
        self._send(kind, REQUEST | ACK, bodies)
        done = answered = 0
        while answered < len(bodies):
            answers = await self._receive(what, absent=True)
            answered += len(answers)
            done += sum(_error(each) == 0 for each in answers)
        return done

    async def commit(
        self, subsystem: int, generation: bytes, orders: Sequence[Order], what: str
    ) -> None:
        """Have all of some orders (type, flags, body) carried out, at once, or none. In a thread:
        the kernel answers when it is done, and may first have to finish for somebody else.

        Args:
            subsystem: of all of them.
            orders: at least one.
            generation: the ruleset's, as the kernel told; another one is ERESTART.

        Raises:
            NetlinkError: the kernel refused, or does not answer.
        """
        first = self._sequence = self._sequence + 1
        header = struct.pack("=BBH", 0, 0, socket.htons(subsystem))
        parts = [message(BATCH_BEGIN, REQUEST, first, header + attribute(GENERATION, generation))]
        last = first + len(orders)
        for kind, flags, body in orders:
            self._sequence += 1
            # Refusals are always answered; that all is done, once is enough.
            flags |= ACK if self._sequence == last else 0
            parts.append(message(kind, REQUEST | flags, self._sequence, body))
        parts.append(message(BATCH_END, REQUEST, last + 1, header))
        self._sequence = last + 1
        await _in_thread(self._exchange, b"".join(parts), last, what)

    async def carry_out(
        self, orders: Sequence[Order], what: str, *, all_of_them: bool = False
    ) -> Mapping[int, int]:
        """Have orders (type, flags, body) carried out one after another, each by itself. The kernel
        carries them out while it takes them, so a few are done at once; more are left to a thread,
        so that others have their turn.

        Args:
            orders: in which nothing that comes soon after what was refused does harm: they are
                carried out a part at a time, and a part is not stopped.
            all_of_them: go on with the next part even so.

        Returns:
            Those that were refused, by their index: the kernel's number.

        Raises:
            NetlinkError: the kernel does not answer.
        """
        refused: dict[int, int] = {}
        parts = list(_parts(orders))
        if len(parts) > 1:
            await _in_thread(self._exchange_parts, parts, what, all_of_them, refused)
        else:
            self._exchange_parts(parts, what, all_of_them, refused)
        return refused

    def _exchange_parts(
        self,
        parts: Sequence[Sequence[Order]],
        what: str,
        all_of_them: bool,
        refused: dict[int, int],
    ) -> None:
        first = self._sequence + 1
        for part in parts:
            start, requests = self._sequence, []
            for kind, flags, body in part:
                self._sequence += 1
                requests.append(message(kind, REQUEST | ACK | flags, self._sequence, body))
            waiting = set(range(start + 1, self._sequence + 1))

            def heed(answer: Message, waiting: set[int] = waiting) -> bool:
                if answer.type == ERROR and answer.sequence in waiting:
                    waiting.remove(answer.sequence)
                    number = _error(answer)
                    if number:
                        refused[answer.sequence - first] = number
                return not waiting

            self._converse(b"".join(requests), what, heed)
            if refused and not all_of_them:
                return

    def _exchange(self, data: bytes, last: int, what: str) -> None:
        """Send a batch, and read until its last order is answered for, or one is refused."""

        def heed(answer: Message) -> bool:
            number = _error(answer) if answer.type == ERROR else 0
            if number:
                raise NetlinkError(what, number, os.strerror(number))
            return answer.sequence == last

        self._converse(data, what, heed)

    def _converse(self, data: bytes, what: str, heed: Callable[[Message], bool]) -> None:
        """Send, and read answers up to the one that is heeded as the last."""
        self._socket.setsockopt(socket.SOL_SOCKET, SEND_BUFFER_FORCE, len(data) + DATAGRAM_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, BATCH_ANSWER_BYTES)
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.send(data)
            while not any([heed(each) for each in messages(self._socket.recv(DATAGRAM_BYTES))]):
                pass
        except TimeoutError:
            raise NetlinkError(what, errno.ETIMEDOUT, "no answer") from None
        except OSError as error:
            raise NetlinkError(what, error.errno or 0, error.strerror or str(error)) from error
        finally:
            self._socket.setblocking(False)

    def _send(self, kind: int, flags: int, bodies: Sequence[bytes]) -> None:
        requests = []
        for body in bodies:
            self._sequence += 1
            requests.append(message(kind, flags, self._sequence, body))
        self._socket.send(b"".join(requests))

    async def _receive(self, what: str, *, absent: bool = False) -> list[Message]:
        """The messages of one datagram; with `absent`, that something is not there is no
        refusal."""
        loop = asyncio.get_running_loop()
        try:
            data = await asyncio.wait_for(loop.sock_recv(self._socket, DATAGRAM_BYTES), TIMEOUT_S)
        except asyncio.TimeoutError:
            raise NetlinkError(what, errno.ETIMEDOUT, "no answer") from None
        found = list(messages(data))
        for each in found:
            number = _error(each) if each.type == ERROR else 0
            if number and not (absent and number == errno.ENOENT):
                raise NetlinkError(what, number, os.strerror(number))
        return found


async def _in_thread(work: Callable[..., None], *given: Any) -> None:
    """Do what nobody may interrupt: what comes next must not be overtaken by it."""
    doing = asyncio.ensure_future(asyncio.to_thread(work, *given))
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait((doing,))
        raise


def _parts(orders: Sequence[Order]) -> Iterator[list[Order]]:
    """Orders that are sent together."""
    part: list[Order] = []
    size = 0
    for each in orders:
        if part and (size + len(each[2]) > PART_BYTES or len(part) == PART_ORDERS):
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each[2])
    if part:
        yield part


def _error(answer: Message) -> int:
    """The errno of an answer; 0 is success."""
    (number,) = struct.unpack_from("=i", answer.body)
    return -int(number)
