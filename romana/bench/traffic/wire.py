"""What the bench says to its client and its server: one JSON object a line each way."""

from __future__ import annotations

from struct import pack

import msgspec

LIMIT_S = 30.0
"""For an answer, and for a client that stops in the middle."""


def timeval(seconds: float) -> bytes:
    """A time limit as the kernel takes it of a socket."""
    return pack("ll", int(seconds), int(seconds % 1 * 1e6))


class Server(msgspec.Struct, frozen=True):
    """Where to listen.

    Args:
        namespaces: paths of the pods' network namespaces; none for where the server is already.
        ports: in each of them.
        sizes: of the responses that are asked for, in bytes.
    """

    namespaces: tuple[str, ...]
    ports: tuple[int, ...]
    sizes: tuple[int, ...]


def head(size: int) -> bytes:
    """What comes before the body of a response."""
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {size}", "Connection: close", "", "")
    return "\r\n".join(lines).encode()


class Block(msgspec.Struct, frozen=True):
    """Some requests, one after the other.

    Args:
        namespace: path of the client's network namespace; empty for where it is already.
        address: of the server.
        port: likewise.
        size: of the response in bytes; None to connect and nothing more.
        warm: requests that come first and are not told of.
        count: those that are.
        limit_s: how long to wait for an answer.
    """

    namespace: str
    address: str
    port: int
    size: int | None
    warm: int
    count: int
    limit_s: float = LIMIT_S


class Measured(msgspec.Struct, frozen=True):
    """What a block came to.

    Args:
        nanoseconds: of each request: from before the connection was asked for until the end of the
            response; or, where there is none, until it was there.
        user_s: processor time of the client, in user space.
        system_s: likewise, in the kernel.
        failure: why it was not carried out to its end.
        silent: whether that was for want of an answer.
    """

    nanoseconds: tuple[int, ...] = ()
    user_s: float = 0.0
    system_s: float = 0.0
    failure: str = ""
    silent: bool = False


class Order(msgspec.Struct, frozen=True):
    """To the server: leave connections in their queue from now on (`hold`); or accept and close all
    that there are (`drain`), and serve again; or neither, only tell."""

    hold: bool = False
    drain: bool = False


class Told(msgspec.Struct, frozen=True):
    """The server's answer: what it has used of its processor so far."""

    user_s: float = 0.0
    system_s: float = 0.0
    failure: str = ""
