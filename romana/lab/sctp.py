"""SCTP without SCTP sockets: INIT and INIT ACK as raw packets, where the kernel has no SCTP itself.

Connection tracking and packet filters know SCTP all the same, so the first two packets of an
association (RFC 9260, section 5.1) show whether a policy lets it through.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PROTOCOL = 132
INIT, INIT_ACK, ABORT = 1, 2, 6
_COMMON = struct.Struct("!HHI")
_CHUNK = struct.Struct("!BBH")
_INIT = struct.Struct("!IIHHI")
_WINDOW = 65536
_COOKIE = struct.pack("!HH4s", 7, 8, b"lab!")
"""An INIT ACK has to carry a state cookie (section 3.3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The common header and the first chunk. `tag` verifies; `initiate` is what the sender wants to
    see in the other's packets, 0 where the chunk has none."""

    source: int
    target: int
    tag: int
    kind: int
    initiate: int = 0

    def encode(self) -> bytes:
        """The packet, without the IP header."""
        body = b""
        if self.kind in (INIT, INIT_ACK):
            body = _INIT.pack(self.initiate, _WINDOW, 1, 1, self.initiate)
        if self.kind == INIT_ACK:
            body += _COOKIE
        chunk = _CHUNK.pack(self.kind, 0, _CHUNK.size + len(body)) + body
        header = _COMMON.pack(self.source, self.target, self.tag)
        # The checksum is computed with its own field at zero, and is little-endian (appendix A).
        checksum = crc32c(header + bytes(4) + chunk)
        return header + struct.pack("<I", checksum) + chunk


def decode(data: bytes) -> Packet | None:
    """The packet in an IPv4 packet as a raw socket delivers it; None if it is too short."""
    return read(data[(data[0] & 15) * 4 :] if data else b"")


def read(body: bytes) -> Packet | None:
    """The packet in the payload of an IP packet, which is what a raw socket of IPv6 delivers; None
    if it is too short."""
    if len(body) < 16:
        return None
    source, target, tag = _COMMON.unpack_from(body)
    kind = body[12]
    initiate = int.from_bytes(body[16:20], "big") if kind in (INIT, INIT_ACK) else 0
    return Packet(source=source, target=target, tag=tag, kind=kind, initiate=initiate)


def answer(heard: Packet, port: int) -> Packet | None:
    """What one who listens on `port` says to a packet: INIT ACK to its INIT, else nothing."""
    if heard.kind != INIT or heard.target != port:
        return None
    return Packet(
        source=port,
        target=heard.source,
        tag=heard.initiate,
        kind=INIT_ACK,
        initiate=heard.initiate ^ 0xFFFFFFFF or 1,
    )


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), reflected."""
    value = 0xFFFFFFFF
    for octet in data:
        value = _TABLE[(value ^ octet) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (0x82F63B78 if index & 1 else 0)
    return index


_TABLE = tuple(_entry(index) for index in range(256))
