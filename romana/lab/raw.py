"""Packets that a probe writes itself, and the sockets for them: a datagram or a SYN from any source
port costs no socket of its own. Each carries a number, by which its arrival is told.
"""

from __future__ import annotations

import ctypes
import socket
import struct

from romana.objects import Address

NUMBER = struct.Struct("!I")
_UDP = struct.Struct("!HHHH")
_TCP = struct.Struct("!HHIIBBHHH")
_SYN = 0x02
_FLAGS = 0x3F
_WINDOW = 65535
_IPV6_CHECKSUM = 7
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD16, _LOAD8, _AND, _EQUAL, _RETURN = 0x28, 0x30, 0x54, 0x15, 0x06
_IPV4_HEADER = 20
"""Bytes. The lab's packets have no options."""


def datagram(source: int, destination: int, number: int) -> bytes:
    """A UDP datagram, without the IP header. The kernel fills in the checksum where IPv6 needs
    one."""
    return _UDP.pack(source, destination, _UDP.size + NUMBER.size, 0) + NUMBER.pack(number)


def opening(route: int, source: int, destination: int, number: int) -> bytes:
    """A TCP segment that asks for a connection, without the IP header. Its sequence number is the
    number.

    Args:
        route: `pseudo_sum` of its addresses; 0 for IPv6, where the kernel fills in the checksum.
        source: port.
        destination: port.
        number: what it carries.
    """
    header = (source, destination, number, 0, (_TCP.size // 4) << 4, _SYN, _WINDOW)
    total = route + source + destination + (number >> 16) + (number & 0xFFFF)
    total += (_TCP.size // 4) << 12 | _SYN
    total += _WINDOW
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return _TCP.pack(*header, ~total & 0xFFFF if route else 0, 0)


def pseudo_sum(source: Address, destination: Address) -> int:
    """What two IPv4 addresses, the protocol and the length add to a SYN's checksum (RFC 9293,
    section 3.1); 0 for IPv6."""
    if source.version == 6:
        return 0
    words: tuple[int, ...] = struct.unpack("!4H", source.packed + destination.packed)
    return sum(words) + socket.IPPROTO_TCP + _TCP.size


def number_of(data: bytes, family: int) -> int:
    """The number in a SYN as a raw socket delivers it."""
    start = (_IPV4_HEADER if family == socket.AF_INET else 0) + 4
    number: int = NUMBER.unpack_from(data, start)[0]
    return number


def udp_socket(family: int) -> socket.socket:
    """A socket that sends datagrams and hears nothing."""
    link = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
    if family == socket.AF_INET6:
        link.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 6)
    _hear(link, [(_RETURN, 0, 0, 0)])
    return link


def tcp_socket(family: int, port: int) -> socket.socket:
    """A socket that sends SYNs, and hears those to a port."""
    link = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
    if family == socket.AF_INET6:
        link.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 16)
    header = _IPV4_HEADER if family == socket.AF_INET else 0
    program = [
        (_LOAD16, 0, 0, header + 2),
        (_EQUAL, 0, 4, port),
        (_LOAD8, 0, 0, header + 13),
        (_AND, 0, 0, _FLAGS),
        (_EQUAL, 0, 1, _SYN),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ]
    _hear(link, program)
    return link


def _hear(link: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Let a socket hear only what a program of the classic packet filter returns a length for: the
    kernel would copy to it every packet of its protocol."""
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*each) for each in program))
    filter_ = struct.pack("HL", len(program), ctypes.addressof(code))
    link.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
