"""Hears from the kernel of each commit of the agent's table, with the addresses whose elements it
touched. Layouts: linux/netfilter/nf_tables.h."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from romana.dataplane.messages import ATTRIBUTE, TYPE_MASK, Message, attributes, messages, text
from romana.dataplane.netlink import (
    ADD_MEMBERSHIP,
    BUFFER_BYTES,
    DATAGRAM_BYTES,
    GROUPS,
    NETFILTER,
    NEW_GENERATION,
    NFTABLES_SUBSYSTEM,
    RECEIVE_BUFFER_FORCE,
    SOL_NETLINK,
)

NEW_ELEMENT, DELETE_ELEMENT = 12, 14
LIST_TABLE, LIST_ELEMENTS = 1, 3
ELEMENT_KEY = 1
DATA_VALUE = 1
TABLE = "romana"
_ADDRESS_BYTES = 4


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction.

    Args:
        at: when it was heard of, in monotonic seconds.
        addresses: of IPv4, packed, at the beginning of keys of elements.
    """

    at: float
    addresses: frozenset[bytes]


class Commits:
    """A listening socket. Opened before whatever it shall hear of."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETFILTER
        )
        self._socket.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, BUFFER_BYTES)
        self._socket.bind((0, 0))
        for group in GROUPS[NETFILTER]:
            self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
        self._addresses: set[bytes] = set()
        self._ours = False

    async def heard(self) -> AsyncIterator[Commit]:
        """Every commit of the agent's table, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(self._socket, DATAGRAM_BYTES)
            now = loop.time()
            for each in messages(data):
                if each.type >> 8 != NFTABLES_SUBSYSTEM:
                    continue
                if each.type & 0xFF == NEW_GENERATION:
                    if self._ours:
                        yield Commit(now, frozenset(self._addresses))
                    self._addresses.clear()
                    self._ours = False
                else:
                    self._take(each)

    def _take(self, message: Message) -> None:
        found = attributes(message.body, 4)
        if text(found.get(LIST_TABLE, b"")) != TABLE:
            return
        self._ours = True
        if message.type & 0xFF in (NEW_ELEMENT, DELETE_ELEMENT):
            for element in _each(found.get(LIST_ELEMENTS, b"")):
                key = attributes(attributes(element).get(ELEMENT_KEY, b"")).get(DATA_VALUE, b"")
                self._addresses.add(key[:_ADDRESS_BYTES])


def _each(data: bytes) -> Iterator[bytes]:
    """The values of attributes that are all of one type."""
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or not kind & TYPE_MASK:
            return
        yield data[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
