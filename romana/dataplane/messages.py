"""The bytes of netlink: headers and attributes. Pure.

Layouts: linux/netlink.h. A message is a 16-byte header and a body; attributes are a 4-byte header
and a value, each padded to four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")

ERROR = 2
DONE = 3
REQUEST = 0x1
ACK = 0x4
DUMP = 0x300
NESTED = 0x8000
TYPE_MASK = 0x3FFF


class Message(NamedTuple):
    """One netlink message: its type, the sequence number and the port of the request it goes back
    to, its body."""

    type: int
    sequence: int
    port: int
    body: bytes


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, sequence, port = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield Message(kind, sequence, port, data[offset + HEADER.size : offset + length])
        offset += _aligned(length)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from an offset on, by type; of equal types the last."""
    return dict(items(data, offset))


def items(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The types and values of the attributes from an offset on, in order: those of a list are all
    of one type."""
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            return
        yield kind & TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message with its header."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    padding = b"\0" * (_aligned(len(value)) - len(value))
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + padding


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(inner))


def text(value: bytes) -> str:
    """A string attribute."""
    return value.rstrip(b"\0").decode(errors="replace")


def _aligned(length: int) -> int:
    return (length + 3) & ~3
