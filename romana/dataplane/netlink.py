"""Listens to the kernel: who changed which nftables table, which route or interface changed.

    listener = Listener(NETFILTER)
    async for notification in listener.notifications(): ...
    # or: loop.add_reader(listener.fileno(), ...) and listener.receive()

Layouts: linux/rtnetlink.h; linux/netfilter/nf_tables.h: a transaction's events, then NEWGEN with
the process that made it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from romana.dataplane.messages import Message, attributes, messages, text
from romana.objects import Network

ROUTE = 0
NETFILTER = 12
ADD_MEMBERSHIP = 1
SOL_NETLINK = 270
RECEIVE_BUFFER_FORCE = 33
BUFFER_BYTES = 16 * 2**20
DATAGRAM_BYTES = 2**18

GROUPS = {
    NETFILTER: (7,),  # NFNLGRP_NFTABLES
    ROUTE: (1, 7, 11),  # RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE
}

NFTABLES_SUBSYSTEM = 10
NEW_GENERATION = 15
GENERATION_PID, GENERATION_NAME = 2, 3
ATTRIBUTE_TABLE = 1
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

NEW_LINK, DELETE_LINK = 16, 17
NEW_ROUTE, DELETE_ROUTE = 24, 25
LINK_NAME = 3
ROUTE_DESTINATION, ROUTE_INTERFACE, ROUTE_TABLE = 1, 4, 15
CLONED = 0x200
INTERFACE_UP = 1
LOCAL_TABLE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesetChanged:
    """A transaction of nftables.

    Args:
        tables: what it touched, as `inet romana`.
        process: name of the process that made it.
        pid: its id, as the first namespace of process ids counts.
        port: the netlink port it used; mostly its process id as its own namespace counts.
    """

    tables: frozenset[str]
    process: str
    pid: int
    port: int

    def __str__(self) -> str:
        """In a few words."""
        return f"{', '.join(sorted(self.tables))} changed by {self.process}, pid {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChanged:
    """A route came or went (of whatever table but the local one); `protocol` tells whose it is."""

    destination: Network
    protocol: int
    table: int
    interface: int
    added: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChanged:
    """An interface came, went, or changed."""

    name: str
    index: int
    up: bool
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflowed:
    """Notifications were lost: the kernel had more than the socket could hold. Anything may have
    changed."""


Notification = RulesetChanged | RouteChanged | LinkChanged | Overflowed


class Listener:
    """A listening socket.

    Args:
        protocol: NETFILTER, for RulesetChanged; or ROUTE, for RouteChanged and LinkChanged.

    Raises:
        OSError: the kernel has no such protocol, or the process may not listen.
    """

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._transactions = Transactions()
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, BUFFER_BYTES)
            self._socket.bind((0, 0))
            for group in GROUPS[protocol]:
                self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The socket's descriptor, readable when there is something to receive."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def receive(self) -> tuple[Notification, ...]:
        """What the kernel has told since the last call; never waits."""
        told: Callable[[Message], Iterator[Notification]] = (
            self._transactions.notifications if self._protocol == NETFILTER else route_notifications
        )
        found: list[Notification] = []
        while True:
            try:
                data = self._socket.recv(DATAGRAM_BYTES)
            except BlockingIOError:
                return tuple(found)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._transactions.lost()
                found.append(Overflowed())
                continue
            for each in messages(data):
                found.extend(told(each))

    async def notifications(self) -> AsyncIterator[Notification]:
        """What the kernel tells, for ever."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.fileno(), readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                for each in self.receive():
                    yield each
        finally:
            loop.remove_reader(self.fileno())


class Transactions:
    """Puts the messages of nftables together: a transaction's events come first, and then who made
    it."""

    def __init__(self) -> None:
        self._touched: set[str] = set()

    def lost(self) -> None:
        """Forget the events so far: messages between them were lost."""
        self._touched.clear()

    def notifications(self, each: Message) -> Iterator[RulesetChanged]:
        """What a message completes."""
        if each.type >> 8 != NFTABLES_SUBSYSTEM:
            return
        found = attributes(each.body, 4)
        if each.type & 0xFF != NEW_GENERATION:
            family = FAMILIES.get(each.body[0], str(each.body[0]))
            self._touched.add(f"{family} {text(found.get(ATTRIBUTE_TABLE, b''))}")
            return
        tables, self._touched = frozenset(self._touched), set()
        yield RulesetChanged(
            tables=tables,
            process=text(found.get(GENERATION_NAME, b"")),
            pid=int.from_bytes(found.get(GENERATION_PID, b""), "big"),
            port=each.port,
        )


def route_notifications(each: Message) -> Iterator[Notification]:
    """What a message of rtnetlink tells. Routes that the kernel keeps for itself (local addresses,
    clones) are left out."""
    if each.type in (NEW_LINK, DELETE_LINK):
        _, _, index, flags, _ = struct.unpack_from("=BxHiII", each.body)
        name = text(attributes(each.body, 16).get(LINK_NAME, b""))
        up = bool(flags & INTERFACE_UP)
        yield LinkChanged(name=name, index=index, up=up, present=each.type == NEW_LINK)
    elif each.type in (NEW_ROUTE, DELETE_ROUTE):
        route = _route(each)
        if route is not None:
            yield route


def _route(each: Message) -> RouteChanged | None:
    family, length, _, _, short_table, protocol, _, _, flags = struct.unpack_from("=8BI", each.body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = attributes(each.body, 12)
    table = int.from_bytes(found.get(ROUTE_TABLE, bytes((short_table,))), "little")
    if table == LOCAL_TABLE or flags & CLONED:
        return None
    size = 4 if family == socket.AF_INET else 16
    address = ip_address(found.get(ROUTE_DESTINATION, bytes(size)))
    return RouteChanged(
        destination=ip_network((address, length)),
        protocol=protocol,
        table=table,
        interface=int.from_bytes(found.get(ROUTE_INTERFACE, b""), "little"),
        added=each.type == NEW_ROUTE,
    )
