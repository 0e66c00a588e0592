"""Datagrams from every pod to every other, many a second, each with the time it was sent and the
time it arrived: what passed at every moment, while something happened.

Each pair has two streams. The packets of `FRESH` are a new connection each, from another source
port, and are not answered. Those of `KEPT` are one connection, and are answered: for them, to have
arrived means that the answer did.
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
from ipaddress import IPv4Address
from types import TracebackType
from typing import NamedTuple

from romana.lab.namespaces import Namespace

FRESH, KEPT = 79, 82
"""The destination ports of the two streams: next to those that pods serve in the conformance
data."""

HOME = 9
"""The source port of kept connections."""
FIRST_PORT, PORTS = 20000, 40000
_TAG = struct.Struct("!I")
_UDP = struct.Struct("!HHHH")
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
    address: IPv4Address
    raw: socket.socket
    fresh: socket.socket
    kept: socket.socket
    home: socket.socket
    count: int = 0

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self.raw, self.fresh, self.kept, self.home)


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

    def add(self, name: str, where: Namespace, address: IPv4Address) -> None:
        """Take in a pod, whose interface need not be there yet: it sends from the moment it can.

        Raises:
            OSError: the namespace is not there.
        """
        pod = where.inside(lambda: _open(name, address))
        with self._turn:
            self._pods[name] = pod
            for link in (pod.fresh, pod.kept, pod.home):
                self._selector.register(link, selectors.EVENT_READ, link)

    def remove(self, name: str) -> None:
        """Let go of a pod; one that is not known is fine."""
        with self._turn:
            pod = self._pods.pop(name, None)
            if pod is None:
                return
            for link in (pod.fresh, pod.kept, pod.home):
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
        target = str(other.address)
        for port in (FRESH, KEPT):
            tag = _TAG.pack(len(self._records))
            record = _Record(pod.name, other.name, port, time.time())
            try:
                if port == FRESH:
                    header = _UDP.pack(FIRST_PORT + pod.count, port, _UDP.size + _TAG.size, 0)
                    pod.raw.sendto(header + tag, (target, 0))
                else:
                    pod.home.sendto(tag, (target, port))
            except OSError:
                continue  # no interface or no route yet, or not any more: nothing was sent
            self._records.append(record)

    def _receive(self) -> None:
        while events := self._selector.select(0):
            for key, _ in events:
                for tag, at, sender in _read(key.data):
                    self._take(key.data, tag, at, sender)

    def _take(self, link: socket.socket, tag: bytes, at: float, sender: tuple[str, int]) -> None:
        number = _TAG.unpack(tag)[0] if len(tag) == _TAG.size else len(self._records)
        if number >= len(self._records):
            return
        record = self._records[number]
        if record.port == KEPT and link.getsockname()[1] == KEPT:
            with suppress(OSError):  # an interface that has gone
                link.sendto(tag, sender)
        elif record.arrived is None:
            record.arrived = at


def _open(name: str, address: IPv4Address) -> _Pod:
    return _Pod(
        name=name,
        address=address,
        raw=socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP),
        fresh=_bound(FRESH),
        kept=_bound(KEPT),
        home=_bound(HOME),
    )


def _bound(port: int) -> socket.socket:
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setblocking(False)
    link.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    link.bind(("0.0.0.0", port))  # noqa: S104 - inside a pod, whose address may come later
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
