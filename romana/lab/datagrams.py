"""Packets from every pod to every other, many a second, each with the time it was sent and the time
it arrived: what passed at every moment, while something happened.

Each pair has three streams. The datagrams of `FRESH` are a new connection each, from another source
port, and are not answered. Those of `KEPT` are one connection, and are answered: for them, to have
arrived means that the answer did. Those of `OPENING` are TCP: each asks for a new connection, which
the sender's kernel, that knows nothing of it, resets when it is answered.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple

from romana.lab import raw
from romana.lab.namespaces import Namespace
from romana.objects import Address

FRESH, KEPT, OPENING = 79, 82, 80
"""The destination ports of the streams: of those that pods serve in the conformance data, and next
to them."""

HOME = 9
"""The source port of kept connections."""
FIRST_PORT, PORTS = 20000, 40000
_STAMP = struct.Struct("=qq")
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 4 * 2**20


class Packet(NamedTuple):
    """One packet.

    Args:
        sent: seconds since the epoch, just before it was handed to the kernel.
        arrived: when the kernel had it, or its answer, at its end; None where it never came.
    """

    source: str
    destination: str
    port: int
    sent: float
    arrived: float | None


@dataclass(slots=True, kw_only=True)
class _Pod:
    name: str
    address: Address
    udp: socket.socket
    tcp: socket.socket
    fresh: socket.socket
    kept: socket.socket
    home: socket.socket
    count: int = 0

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self.udp, *self.hearing)

    @property
    def hearing(self) -> tuple[socket.socket, ...]:
        return (self.tcp, self.fresh, self.kept, self.home)


@dataclass(slots=True)
class _Record:
    source: str
    destination: str
    port: int
    sent: float
    arrived: float | None = field(default=None)


class Datagrams:
    """Sends for as long as the block. `add` and `remove` may be called meanwhile.

    Args:
        every_s: from round to round; in each, every pair sends one packet of each stream.

    `rounds` is how many there have been, `stalled_s` the longest that one came too late.
    """

    def __init__(self, every_s: float = 0.02) -> None:
        self._every_s = every_s
        self._pods: dict[str, _Pod] = {}
        self._records: list[_Record] = []
        self._selector = selectors.DefaultSelector()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="datagrams", daemon=True)
        self.stalled_s = 0.0
        self.rounds = 0

    def __enter__(self) -> Datagrams:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for name in tuple(self._pods):
            self.remove(name)
        self._selector.close()

    def add(self, name: str, where: Namespace, address: Address) -> None:
        """Take in a pod, whose interface need not be there yet: it sends from the moment it can.

        Raises:
            OSError: the namespace is not there.
        """
        pod = where.inside(lambda: _open(name, address))
        with self._turn:
            self._pods[name] = pod
            for link in pod.hearing:
                self._selector.register(link, selectors.EVENT_READ, link)

    def remove(self, name: str) -> None:
        """Let go of a pod; one that is not known is fine."""
        with self._turn:
            pod = self._pods.pop(name, None)
            if pod is None:
                return
            for link in pod.hearing:
                self._selector.unregister(link)
            for link in pod.sockets:
                link.close()

    @property
    def count(self) -> int:
        """How many packets there have been."""
        return len(self._records)

    def packets(self, since: int = 0) -> list[Packet]:
        """The packets so far, without the first ones; a packet's place never changes."""
        with self._turn:
            found = self._records[since:]
        return [Packet(e.source, e.destination, e.port, e.sent, e.arrived) for e in found]

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            with self._turn:
                now = time.monotonic()
                if now >= due:
                    self.stalled_s = max(self.stalled_s, now - due)
                    due = now + self._every_s
                    self._round()
                self._receive()
            self._stop.wait(0.001)

    def _round(self) -> None:
        self.rounds += 1
        for pod in self._pods.values():
            pod.count = (pod.count + 1) % PORTS
            for other in self._pods.values():
                if other is not pod:
                    self._send(pod, other)

    def _send(self, pod: _Pod, other: _Pod) -> None:
        target, source = str(other.address), FIRST_PORT + pod.count
        for port in (FRESH, KEPT, OPENING):
            number = len(self._records)
            record = _Record(pod.name, other.name, port, time.time())
            try:
                if port == FRESH:
                    pod.udp.sendto(raw.datagram(source, port, number), (target, 0))
                elif port == KEPT:
                    pod.home.sendto(raw.NUMBER.pack(number), (target, port))
                else:
                    route = raw.pseudo_sum(pod.address, other.address)
                    pod.tcp.sendto(raw.opening(route, source, port, number), (target, 0))
            except OSError:
                continue  # no interface or no route yet, or not any more: nothing was sent
            self._records.append(record)

    def _receive(self) -> None:
        while events := self._selector.select(0):
            for key, _ in events:
                for data, at, sender in _read(key.data):
                    self._take(key.data, data, at, sender)

    def _take(self, link: socket.socket, data: bytes, at: float, sender: tuple[str, int]) -> None:
        number = _number(link, data)
        if number is None or number >= len(self._records):
            return
        record = self._records[number]
        if record.port == KEPT and link.getsockname()[1] == KEPT:
            with suppress(OSError):  # an interface that has gone
                link.sendto(data, sender)
        elif record.arrived is None:
            record.arrived = at


def _number(link: socket.socket, data: bytes) -> int | None:
    """What a packet carries; None where it is not one of ours."""
    if link.type == socket.SOCK_RAW:
        return raw.number_of(data, link.family)
    return int(raw.NUMBER.unpack(data)[0]) if len(data) == raw.NUMBER.size else None


def _open(name: str, address: Address) -> _Pod:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return _Pod(
        name=name,
        address=address,
        udp=raw.udp_socket(family),
        tcp=_hearing(raw.tcp_socket(family, OPENING)),
        fresh=_bound(family, FRESH),
        kept=_bound(family, KEPT),
        home=_bound(family, HOME),
    )


def _bound(family: int, port: int) -> socket.socket:
    link = _hearing(socket.socket(family, socket.SOCK_DGRAM))
    link.bind(("", port))
    return link


def _hearing(link: socket.socket) -> socket.socket:
    """Tell of arrivals by the kernel's clock, and keep what comes while nobody reads."""
    link.setblocking(False)
    link.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    return link


def _read(link: socket.socket) -> Iterator[tuple[bytes, float, tuple[str, int]]]:
    """All that a socket has, each with the kernel's time of its arrival."""
    while True:
        try:
            data, details, _, sender = link.recvmsg(64, 128)
        except OSError:
            return  # nothing more, or an error that an earlier packet has brought back
        at = next(
            (_STAMP.unpack(each[:16]) for _, kind, each in details if kind == _SO_TIMESTAMPNS),
            None,
        )
        yield data, at[0] + at[1] / 1e9 if at else time.time(), sender
