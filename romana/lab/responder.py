"""Servers for probes: one thread answers for many sockets in many namespaces.

    with Responder() as responder:
        responder.tcp(pod, 80)          # says "ADDRESS PORT" of its peer, then echoes what it hears
        responder.udp(pod, 53)          # answers each datagram with "ADDRESS PORT" of its sender
        responder.sctp(pod, 132)        # answers INIT with INIT ACK

What it says is whom the packet claims to come from: a probe that reads it sees translation.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable
from contextlib import suppress
from socket import (
    AF_INET,
    AF_INET6,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
    socketpair,
)
from types import TracebackType

from romana.lab.namespaces import Namespace
from romana.lab.sctp import PROTOCOL, answer, decode

Handler = Callable[[], None]


class Responder:
    """Listens where it is told until it is closed. Safe to use from several threads."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ, self._awake)
        self._sockets: set[socket] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lab-responder", daemon=True)
        self._thread.start()

    def tcp(self, where: Namespace, port: int, address: str = "0.0.0.0") -> None:  # noqa: S104
        """Accept TCP connections in a namespace, on all its addresses unless told otherwise.

        Raises:
            OSError: the port is taken, or the namespace is not there.
        """
        listener = self._bind(where, SOCK_STREAM, address, port)
        listener.listen(1024)
        self._watch(listener, lambda: self._accept(listener))

    def udp(self, where: Namespace, port: int, address: str = "0.0.0.0") -> None:  # noqa: S104
        """Answer datagrams in a namespace, on all its addresses unless told otherwise.

        Raises:
            OSError: the port is taken, or the namespace is not there.
        """
        endpoint = self._bind(where, SOCK_DGRAM, address, port)
        self._watch(endpoint, lambda: _answer(endpoint))

    def sctp(self, where: Namespace, port: int) -> None:
        """Answer INIT with INIT ACK in a namespace, on all its IPv4 addresses.

        Raises:
            OSError: the namespace is not there.
        """
        endpoint = where.open(AF_INET, SOCK_RAW, PROTOCOL)
        endpoint.setblocking(False)
        self._watch(endpoint, lambda: _acknowledge(endpoint, port))

    def close(self) -> None:
        """Stop listening and end all connections."""
        self._closing.set()
        self._waker.send(b".")
        self._thread.join()
        for each in (*self._sockets, self._wake, self._waker):
            each.close()
        self._selector.close()

    def __enter__(self) -> Responder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bind(self, where: Namespace, kind: int, address: str, port: int) -> socket:
        bound = where.open(AF_INET6 if ":" in address else AF_INET, kind)
        try:
            bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            bound.bind((address, port))
        except BaseException:
            bound.close()
            raise
        bound.setblocking(False)
        return bound

    def _watch(self, link: socket, handler: Handler) -> None:
        self._sockets.add(link)
        self._selector.register(link, selectors.EVENT_READ, handler)
        if threading.current_thread() is not self._thread:
            self._waker.send(b".")

    def _serve(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select():
                # A peer that went away is its own affair; the next probe must still be answered.
                with suppress(OSError):
                    key.data()

    def _awake(self) -> None:
        self._wake.recv(4096)

    def _accept(self, listener: socket) -> None:
        link, peer = listener.accept()
        link.setblocking(False)
        self._watch(link, lambda: self._echo(link))
        link.send(_spell(peer))

    def _echo(self, link: socket) -> None:
        try:
            heard = link.recv(65536)
            if heard:
                link.send(heard)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._selector.unregister(link)
        self._sockets.discard(link)
        link.close()


def _answer(endpoint: socket) -> None:
    _, sender = endpoint.recvfrom(65535)
    endpoint.sendto(_spell(sender), sender)


def _acknowledge(endpoint: socket, port: int) -> None:
    data, sender = endpoint.recvfrom(65535)
    heard = decode(data)
    said = answer(heard, port) if heard else None
    if said:
        endpoint.sendto(said.encode(), sender)


def _spell(peer: tuple[object, ...]) -> bytes:
    return f"{peer[0]} {peer[1]}\n".encode()
