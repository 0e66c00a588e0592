"""Listens to a group of netfilter's log: the packets that rules with `log group` or `NFLOG` tell
of. Reading them is pure (`told`), as is making the requests.

    with LogListener(82) as listener:
        async for each in listener.packets(): ...     # LoggedPacket, or Overflowed

A group has one listener in a network namespace; a second one is refused.
Layouts: linux/netfilter/nfnetlink_log.h; IPv4 RFC 791, IPv6 RFC 8200.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from romana.dataplane.errors import NetlinkError
from romana.dataplane.messages import (
    ACK,
    ERROR,
    REQUEST,
    attribute,
    attributes,
    message,
    messages,
    text,
)
from romana.dataplane.netlink import BUFFER_BYTES, NETFILTER, RECEIVE_BUFFER_FORCE, Overflowed
from romana.objects import Address

SUBSYSTEM = 4
PACKET, CONFIG = SUBSYSTEM << 8, SUBSYSTEM << 8 | 1
COMMAND, MODE, FLUSH_AFTER = 1, 2, 4
BIND, COPY_PACKET = 1, 2
PAYLOAD, LOG_PREFIX = 9, 10
FLUSH_10MS = 10
"""The kernel gathers packets for so long (in units of 10 ms) before it tells of them."""
TIMEOUT_S = 5.0
DATAGRAM_BYTES = 2**18
LAST_GROUP = 65535

EXTENSIONS = frozenset((0, 43, 60, 135))
"""Headers of IPv6 that another one follows, with their length in units of 8 bytes."""
FRAGMENT = 44
WITH_PORTS = frozenset((6, 17, 132))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPacket:
    """A packet that a rule told of.

    Args:
        prefix: what the rule says.
        source, destination: of the packet.
        protocol: its number.
        source_port, port: 0 where the protocol has none, or the packet is a later fragment.
    """

    prefix: str
    source: Address
    destination: Address
    protocol: int
    source_port: int = 0
    port: int = 0


class LogListener:
    """A listening socket, in the network namespace of the calling thread. A context manager.

    Args:
        group: of netfilter's log.
        copied: how many bytes of each packet are wanted.

    Raises:
        NetlinkError: another process listens to the group, or the kernel has no such log.
    """

    def __init__(self, group: int, copied: int) -> None:
        self._group = group
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, NETFILTER)
        except OSError as error:
            raise self._refusal(error.errno or 0) from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, BUFFER_BYTES)
            self._socket.settimeout(TIMEOUT_S)
            self._socket.bind((0, 0))
            self._bind(copied)
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> LogListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor, readable when there is something to receive."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening; the group is free then."""
        self._socket.close()

    def receive(self) -> Iterator[LoggedPacket | Overflowed]:
        """What the kernel has told since the last call; never waits."""
        while True:
            try:
                data = self._socket.recv(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield Overflowed()
                continue
            yield from told(data)

    async def packets(self) -> AsyncIterator[LoggedPacket | Overflowed]:
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

    def _bind(self, copied: int) -> None:
        for sequence, body in enumerate(requests(self._group, copied), 1):
            self._socket.send(message(CONFIG, REQUEST | ACK, sequence, body))
            self._await(sequence)

    def _await(self, sequence: int) -> None:
        """Wait for the answer to a request; packets may come before it, and are let go."""
        while True:
            try:
                data = self._socket.recv(DATAGRAM_BYTES)
            except TimeoutError:
                raise self._refusal(errno.ETIMEDOUT) from None
            for each in messages(data):
                if each.type == ERROR and each.sequence == sequence:
                    (number,) = struct.unpack_from("=i", each.body)
                    if number:
                        raise self._refusal(-number)
                    return

    def _refusal(self, number: int) -> NetlinkError:
        # The kernel says EBUSY only to the listener itself; of another's group, EPERM.
        taken = number in (errno.EPERM, errno.EBUSY) and os.geteuid() == 0
        why = "another process listens to it" if taken else os.strerror(number)
        return NetlinkError(f"tell of group {self._group} of netfilter's log", number, why)


def requests(group: int, copied: int) -> Iterator[bytes]:
    """The bodies of the requests that make a socket the listener of a group. Pure."""
    header = struct.pack("!BBH", socket.AF_UNSPEC, 0, group)
    yield header + attribute(COMMAND, struct.pack("=B", BIND))
    yield header + attribute(MODE, struct.pack("!IBx", copied, COPY_PACKET))
    yield header + attribute(FLUSH_AFTER, struct.pack("!I", FLUSH_10MS))


def told(data: bytes) -> Iterator[LoggedPacket]:
    """The packets that a datagram tells of; those that are no IP are passed over. Pure."""
    for each in messages(data):
        if each.type != PACKET:
            continue
        found = attributes(each.body, 4)
        packet = parse(found.get(PAYLOAD, b""), text(found.get(LOG_PREFIX, b"")))
        if packet is not None:
            yield packet


def parse(data: bytes, prefix: str) -> LoggedPacket | None:
    """Read an IP packet's headers. Pure.

    Args:
        data: as much of it as there is.
        prefix: what the rule says.

    Returns:
        None where that is no packet of IPv4 or IPv6.
    """
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        later = int.from_bytes(data[6:8], "big") & 0x1FFF
        ports = b"" if later else data[(data[0] & 15) * 4 :]
        addresses: tuple[Address, Address] = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        return _packet(prefix, addresses, data[9], ports)
    if version == 6 and len(data) >= 40:
        protocol, ports = _beyond_extensions(data[6], data[40:])
        return _packet(prefix, (IPv6Address(data[8:24]), IPv6Address(data[24:40])), protocol, ports)
    return None


def _beyond_extensions(protocol: int, data: bytes) -> tuple[int, bytes]:
    """The protocol that the extension headers of IPv6 lead to, and what it says."""
    while len(data) >= 8:
        if protocol == FRAGMENT:
            later = int.from_bytes(data[2:4], "big") >> 3
            protocol, data = data[0], b"" if later else data[8:]
        elif protocol in EXTENSIONS:
            protocol, data = data[0], data[(data[1] + 1) * 8 :]
        else:
            break
    return protocol, data


def _packet(
    prefix: str, addresses: tuple[Address, Address], protocol: int, data: bytes
) -> LoggedPacket:
    source_port = port = 0
    if protocol in WITH_PORTS and len(data) >= 4:
        source_port, port = struct.unpack_from("!HH", data)
    return LoggedPacket(
        prefix=prefix,
        source=addresses[0],
        destination=addresses[1],
        protocol=protocol,
        source_port=source_port,
        port=port,
    )
