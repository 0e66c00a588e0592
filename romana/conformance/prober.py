"""Probes all cells of a step at once, over sockets inside the pods' namespaces.

A blocked cell shows as silence, which takes time to tell from a slow answer; so every attempt is
made at the same moment, and one thread waits for all. What stays silent is tried again, from
another source port, before it is called blocked; what must connect is given longer. An attempt that
is refused, by the peer or by ICMP, is not silence. (A kernel that has SCTP aborts what the raw
socket beside it accepts: there, the acceptance counts.)
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from socket import SO_ERROR, SO_LINGER, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, socket
from struct import pack
from types import TracebackType

from romana.conformance.cases import Cell
from romana.conformance.servers import PodSockets, Servers
from romana.lab import sctp
from romana.lab.namespaces import Namespace
from romana.lab.probes import Outcome, outcome_of
from romana.objects import Address, Protocol

PAYLOAD = b"romana"
RESET_ON_CLOSE = pack("ii", 1, 0)
MAX_TAG = 0x7FFFFFFF
KINDS = {Protocol.TCP: SOCK_STREAM, Protocol.UDP: SOCK_DGRAM}


Association = tuple[Address, str, int, int]
"""A pod's own address, its peer's, the peer's port and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One attempt of each cell that has not answered.

    Args:
        silence_s: how long nothing at all must be heard before silence is believed.
        patience_s: how long those that must connect are waited for.
        everyone: whether those that may stay silent are tried too.
    """

    silence_s: float
    patience_s: float
    everyone: bool = True


ROUNDS = (
    Round(silence_s=0.12, patience_s=0.4),
    Round(silence_s=0.12, patience_s=1.0),
    Round(silence_s=0.0, patience_s=3.0, everyone=False),
)


class Prober:
    """The sockets of all pods, and one loop over them. Used by one thread.

    Args:
        rounds: how often and how long is tried.
    """

    def __init__(self, rounds: tuple[Round, ...] = ROUNDS) -> None:
        self._rounds = rounds
        self._selector = selectors.DefaultSelector()
        self._servers = Servers(self._selector, self._sctp_answer, self._sctp_failure)
        self._pods: dict[str, PodSockets] = {}
        self._outcomes: dict[Cell, Outcome] = {}
        self._links: set[socket] = set()
        self._aborted: set[Cell] = set()
        self._associations: dict[Association, tuple[Cell, int]] = {}

    def add(self, pod: str, namespace: Namespace, address: Address) -> None:
        """Take in a pod.

        Raises:
            OSError: its namespace is not there, or this process is not root.
        """
        self._pods[pod] = self._servers.open(namespace, address)

    def remove(self, pod: str) -> None:
        """Close a pod's sockets; one that is not known is fine."""
        known = self._pods.pop(pod, None)
        if known is not None:
            self._servers.close(known)

    def probe(
        self, cells: Iterable[Cell], admitted: Collection[Cell] = frozenset()
    ) -> Mapping[Cell, Outcome]:
        """Try every cell.

        Args:
            cells: to try; the ports are served by all pods from then on.
            admitted: those that must connect, and are waited for longer.

        Raises:
            OSError: an error that is not about the network (out of descriptors, say).
        """
        wanted = tuple(cells)
        self._outcomes = {}
        self._aborted.clear()
        for protocol, port in {(cell.protocol, cell.port) for cell in wanted}:
            for pod in self._pods.values():
                self._servers.listen(pod, protocol, port)
        must = set(admitted)
        try:
            for each in self._rounds:
                silent = [cell for cell in wanted if cell not in self._outcomes]
                must -= self._outcomes.keys()
                tried = silent if each.everyone else [cell for cell in silent if cell in must]
                if not tried:
                    break
                self._launch(tried)
                self._listen(each, must)
        finally:
            self._end()
        for cell in self._aborted:
            self._note(cell, Outcome.REFUSED)
        return {cell: self._outcomes.get(cell, Outcome.TIMED_OUT) for cell in wanted}

    def close(self) -> None:
        """Close every socket."""
        for pod in tuple(self._pods):
            self.remove(pod)
        self._selector.close()

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _launch(self, cells: list[Cell]) -> None:
        by_source: dict[str, list[Cell]] = {}
        for cell in cells:
            by_source.setdefault(cell.source, []).append(cell)
        for title, own in by_source.items():
            source = self._pods[title]
            linked = [cell for cell in own if cell.protocol in KINDS]

            # A thread for each pod, not for each socket: joining a namespace takes a new one.
            def sockets(pod: PodSockets = source, linked: list[Cell] = linked) -> list[socket]:
                return [socket(pod.family, KINDS[cell.protocol]) for cell in linked]

            for cell, link in zip(linked, source.namespace.inside(sockets), strict=True):
                self._connect(source, cell, link)
            for cell in own:
                if cell.protocol is Protocol.SCTP:
                    self._initiate(source, cell)

    def _connect(self, source: PodSockets, cell: Cell, link: socket) -> None:
        """Send a SYN or a datagram."""
        self._links.add(link)
        link.setblocking(False)
        link.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        link.bind((str(source.address), source.next_port()))
        target = (str(self._pods[cell.destination].address), cell.port)
        try:
            if cell.protocol is Protocol.TCP:
                link.setsockopt(SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE)
                link.connect(target)
            else:
                link.connect(target)
                link.send(PAYLOAD)
        except BlockingIOError:
            pass
        except OSError as error:
            self._note(cell, outcome_of(error))
            return
        if cell.protocol is Protocol.TCP:
            self._selector.register(link, selectors.EVENT_WRITE, lambda: self._tcp(cell, link))
        else:
            self._selector.register(link, selectors.EVENT_READ, lambda: self._udp(cell, link))

    def _initiate(self, source: PodSockets, cell: Cell) -> None:
        """Send an INIT."""
        port = source.next_port()
        tag = (port << 15 | cell.port) & MAX_TAG or 1
        target = str(self._pods[cell.destination].address)
        self._associations[(source.address, target, cell.port, port)] = (cell, tag)
        packet = sctp.Packet(source=port, target=cell.port, tag=0, kind=sctp.INIT, initiate=tag)
        try:
            source.raw.sendto(packet.encode(), (target, 0))
        except OSError as error:
            self._note(cell, outcome_of(error))

    def _listen(self, how: Round, must: Collection[Cell]) -> None:
        """Answer and take answers until silence can be believed."""
        began = time.monotonic()
        while True:
            waiting = any(cell not in self._outcomes for cell in must)
            limit = began + (how.patience_s if waiting else how.silence_s)
            events = self._selector.select(max(0.0, limit - time.monotonic()))
            for key, _ in events:
                key.data()
            if not events and time.monotonic() >= limit:
                return

    def _tcp(self, cell: Cell, link: socket) -> None:
        number = link.getsockopt(SOL_SOCKET, SO_ERROR)
        self._settle(cell, link, number)

    def _udp(self, cell: Cell, link: socket) -> None:
        try:
            link.recv(len(PAYLOAD))
            number = 0
        except OSError as error:
            number = error.errno or 0
        self._settle(cell, link, number)

    def _settle(self, cell: Cell, link: socket, number: int) -> None:
        self._note(cell, outcome_of(OSError(number, "")) if number else Outcome.CONNECTED)
        self._drop(link)

    def _note(self, cell: Cell, outcome: Outcome) -> None:
        # The first answer counts: of two attempts, the later one may end with the first.
        self._outcomes.setdefault(cell, outcome)

    def _drop(self, link: socket) -> None:
        if link.fileno() in self._selector.get_map():
            self._selector.unregister(link)
        self._links.discard(link)
        link.close()

    def _sctp_answer(self, own: Address, sender: str, packet: sctp.Packet) -> None:
        key = (own, sender, packet.source, packet.target)
        cell, tag = self._associations.get(key, (None, 0))
        if cell is not None and packet.tag == tag:
            if packet.kind == sctp.INIT_ACK:
                self._note(cell, Outcome.CONNECTED)
            else:
                self._aborted.add(cell)

    def _sctp_failure(self, own: Address, target: str, packet: sctp.Packet, number: int) -> None:
        key = (own, target, packet.target, packet.source)
        cell, _ = self._associations.get(key, (None, 0))
        if cell is not None:
            self._note(cell, outcome_of(OSError(number, "")))

    def _end(self) -> None:
        for link in tuple(self._links):
            self._drop(link)
        self._associations.clear()
