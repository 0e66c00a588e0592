"""SCTP packets, as far as a probe needs them: INIT, the INIT-ACK that says yes, the ABORT that says
no. Kernels without SCTP sockets still judge and track SCTP; raw sockets carry it.

RFC 9260, sections 3.1, 3.3.2, 3.3.3, 3.3.7; the checksum of its appendix A, which conntrack checks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

NUMBER = 132
"""SCTP's IP protocol number."""

INIT = 1
INIT_ACK = 2
ABORT = 6

_COMMON = struct.Struct("!HHII")
_CHUNK = struct.Struct("!BBH")
_INIT = struct.Struct("!IIHHI")
_STREAMS = 1
_WINDOW = 65536
_COOKIE = struct.pack("!HHI", 7, 8, 0)
"""The State Cookie, which an INIT-ACK must carry; it is never echoed here."""


def _table() -> tuple[int, ...]:
    entries = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of the data."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet with one chunk.

    Args:
        tag: the verification tag: what the receiver has called itself, 0 in an INIT.
        initiate_tag: what the sender calls itself; 0 in an ABORT.
    """

    source_port: int
    destination_port: int
    tag: int
    chunk: int
    initiate_tag: int = 0

    def encode(self) -> bytes:
        """The packet's bytes, with its checksum."""
        body = b""
        if self.chunk in (INIT, INIT_ACK):
            body = _INIT.pack(self.initiate_tag, _WINDOW, _STREAMS, _STREAMS, self.initiate_tag)
        if self.chunk == INIT_ACK:
            body += _COOKIE
        chunk = _CHUNK.pack(self.chunk, 0, _CHUNK.size + len(body)) + body
        bare = _COMMON.pack(self.source_port, self.destination_port, self.tag, 0) + chunk
        # The one number of the protocol that is sent with its lowest byte first.
        return bare[:8] + struct.pack("<I", crc32c(bare)) + bare[12:]

    def answer(self, *, accept: bool) -> Packet:
        """What a server says to this INIT."""
        return Packet(
            source_port=self.destination_port,
            destination_port=self.source_port,
            tag=self.initiate_tag,
            chunk=INIT_ACK if accept else ABORT,
            initiate_tag=self.initiate_tag ^ 0xFFFFFFFF if accept else 0,
        )


def decode(data: bytes) -> Packet | None:
    """The packet, by its first chunk; None where it is too short to be one."""
    if len(data) < _COMMON.size + _CHUNK.size:
        return None
    source_port, destination_port, tag, _ = _COMMON.unpack_from(data)
    chunk, _, _ = _CHUNK.unpack_from(data, _COMMON.size)
    at = _COMMON.size + _CHUNK.size
    initiate_tag = 0
    if chunk in (INIT, INIT_ACK) and len(data) >= at + _INIT.size:
        initiate_tag = _INIT.unpack_from(data, at)[0]
    return Packet(
        source_port=source_port,
        destination_port=destination_port,
        tag=tag,
        chunk=chunk,
        initiate_tag=initiate_tag,
    )
