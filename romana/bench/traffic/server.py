"""`python -m romana.bench.traffic.server`: serves responses of the asked size in every pod.

HTTP/1.1 as far as the bench's client speaks it: one request a connection, which the server closes.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import sys
from pathlib import Path
from socket import (
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_SNDTIMEO,
    SOL_SOCKET,
    socket,
)

import msgspec

from romana.bench.traffic.wire import LIMIT_S, Order, Server, Told, head, timeval
from romana.lab.joining import join

BACKLOG = 4096


class CannotListen(Exception):
    """A port cannot be listened on: one line."""


class Listeners:
    """Everything that is listened to, and what it answers."""

    def __init__(self, wish: Server) -> None:
        self._responses = {size: _response(size) for size in wish.sizes}
        self._poll = select.epoll()
        self._listening: dict[int, socket] = {}
        for namespace in wish.namespaces or ("",):
            if namespace:
                join(Path(namespace))
            for port in wish.ports:
                try:
                    link = _listen(port)
                except OSError as error:
                    reason = f"the server cannot listen on port {port}: {error.strerror}"
                    raise CannotListen(reason) from error
                self._listening[link.fileno()] = link
        self._poll.register(sys.stdin, select.EPOLLIN)
        self._watch()

    def serve(self) -> None:
        """Serve until the bench goes away."""
        orders = sys.stdin.fileno()
        while True:
            for number, _ in self._poll.poll():
                if number == orders:
                    line = sys.stdin.buffer.readline()
                    if not line:
                        return
                    self._obey(msgspec.json.decode(line, type=Order))
                else:
                    self._answer(self._listening[number])

    def _obey(self, order: Order) -> None:
        if order.hold:
            for number in self._listening:
                self._poll.unregister(number)
        if order.drain:
            for link in self._listening.values():
                _drain(link)
            self._watch()
        used = resource.getrusage(resource.RUSAGE_SELF)
        tell(Told(used.ru_utime, used.ru_stime))

    def _watch(self) -> None:
        for number in self._listening:
            self._poll.register(number, select.EPOLLIN)

    def _answer(self, listening: socket) -> None:
        try:
            link, _ = listening.accept()
        except BlockingIOError:
            return  # the client has gone already
        with link:
            link.setblocking(True)
            try:
                request = link.recv(4096)
                if request:
                    link.sendall(self._responses[int(request.split(b" ", 2)[1][1:])])
            except ConnectionError:
                return


def stay_on_last_processor() -> None:
    """Run this process on the last processor that it may run on."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def tell(told: msgspec.Struct) -> None:
    """One line to the bench."""
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


def _listen(port: int) -> socket:
    link = socket()
    link.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    # Inherited by what is accepted.
    for limit in (SO_RCVTIMEO, SO_SNDTIMEO):
        link.setsockopt(SOL_SOCKET, limit, timeval(LIMIT_S))
    link.bind(("0.0.0.0", port))  # noqa: S104 - a pod has one address
    link.listen(BACKLOG)
    link.setblocking(False)
    return link


def _drain(link: socket) -> None:
    while True:
        try:
            link.accept()[0].close()
        except BlockingIOError:
            return
        except ConnectionError:
            continue


def _response(size: int) -> bytes:
    return head(size) + bytes(size)


def main() -> int:
    """Serve; 1 where that cannot be, with the reason as answer."""
    wish = msgspec.json.decode(sys.stdin.buffer.readline(), type=Server)
    try:
        stay_on_last_processor()
        listeners = Listeners(wish)
    except (CannotListen, OSError) as error:
        tell(Told(failure=str(error)))
        return 1
    gc.disable()
    tell(Told())
    listeners.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
