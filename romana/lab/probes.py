"""What live traffic does: one attempt from a namespace, and what became of it.

A policy drops silently, so "denied" shows as `TIMED_OUT`; `REFUSED` means that the packet arrived
and nothing listened, or that somebody on the way said so.
"""

from __future__ import annotations

import errno
import secrets
import time
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_RAW, socket

from romana.lab.namespaces import Namespace
from romana.lab.sctp import ABORT, INIT, INIT_ACK, PROTOCOL, Packet, decode


class Outcome(str, Enum):
    """How an attempt ended."""

    CONNECTED = "connected"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An attempt's outcome. `data` is what the server said first, or empty."""

    outcome: Outcome
    data: bytes = b""

    def __bool__(self) -> bool:
        return self.outcome is Outcome.CONNECTED


def tcp(
    source: Namespace,
    address: str | IPv4Address,
    port: int,
    *,
    timeout_s: float = 1.0,
    read: bool = False,
) -> Result:
    """Connect, and close again.

    Args:
        source: where the attempt starts.
        address: an IPv4 or IPv6 address.
        port: TCP port.
        timeout_s: for the handshake, and again for the first data if `read`.
        read: wait for the server's first words (`responder` says whom it sees).

    Raises:
        OSError: an error that is not about the network (out of descriptors, say).
    """
    link = source.open(_family(address))
    with link:
        link.settimeout(timeout_s)
        try:
            link.connect((str(address), port))
            return Result(outcome=Outcome.CONNECTED, data=link.recv(4096) if read else b"")
        except OSError as error:
            return Result(outcome=outcome_of(error))


def udp(
    source: Namespace,
    address: str | IPv4Address,
    port: int,
    *,
    payload: bytes = b"probe",
    timeout_s: float = 1.0,
) -> Result:
    """Send a datagram and wait for the answer: without one, nobody can tell that it arrived.

    Raises:
        OSError: an error that is not about the network.
    """
    link: socket = source.open(_family(address), SOCK_DGRAM)
    with link:
        link.settimeout(timeout_s)
        try:
            link.connect((str(address), port))
            link.send(payload)
            return Result(outcome=Outcome.CONNECTED, data=link.recv(65535))
        except OSError as error:
            return Result(outcome=outcome_of(error))


def sctp(
    source: Namespace, address: str | IPv4Address, port: int, *, timeout_s: float = 1.0
) -> Result:
    """Send an INIT and wait for the INIT ACK, as raw packets (see `sctp`); IPv4 only.

    Raises:
        OSError: an error that is not about the network.
    """
    ours = secrets.randbelow(28000) + 32768
    wanted = secrets.randbits(31) + 1
    hello = Packet(source=ours, target=port, tag=0, kind=INIT, initiate=wanted)
    link: socket = source.open(AF_INET, SOCK_RAW, PROTOCOL)
    with link:
        outcome = Outcome.TIMED_OUT
        limit = time.monotonic() + timeout_s
        try:
            link.connect((str(address), 0))
            link.send(hello.encode())
            while (left := limit - time.monotonic()) > 0:
                link.settimeout(left)
                heard = decode(link.recv(65535))
                if heard is None or (heard.source, heard.target, heard.tag) != (port, ours, wanted):
                    continue
                if heard.kind == INIT_ACK:
                    return Result(outcome=Outcome.CONNECTED)
                if heard.kind == ABORT:
                    # A kernel with SCTP says so beside a raw answer: the answer counts.
                    outcome = Outcome.REFUSED
        except TimeoutError:
            return Result(outcome=outcome)
        except OSError as error:
            return Result(outcome=outcome_of(error))
        return Result(outcome=outcome)


def outcome_of(error: OSError) -> Outcome:
    """What a failed attempt means. Errors that are not about the network are raised again."""
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return Outcome.TIMED_OUT
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return Outcome.REFUSED
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM):
        return Outcome.UNREACHABLE
    raise error


def _family(address: str | IPv4Address) -> int:
    return AF_INET6 if ":" in str(address) else AF_INET
