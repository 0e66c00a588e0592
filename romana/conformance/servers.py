"""What a pod listens with: TCP that accepts, UDP that echoes, one raw socket for all SCTP."""

from __future__ import annotations

import errno
import selectors
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_IPV6,
    MSG_ERRQUEUE,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)

from romana.lab import sctp
from romana.lab.namespaces import Namespace
from romana.objects import Address, Protocol

Handler = Callable[[], None]
Heard = Callable[[Address, str, sctp.Packet], None]
Failed = Callable[[Address, str, sctp.Packet, int], None]

BACKLOG = 1024
FIRST_PORT, LAST_PORT = 10000, 60000
"""Of attempts. They are used in turn: conntrack knows a connection for minutes after its end, and
an attempt that reuses one's ports would not be new to it."""
_RECVERR = {4: (IPPROTO_IP, 11), 6: (IPPROTO_IPV6, 25)}
_LONGEST = 65535


@dataclass(slots=True, kw_only=True)
class PodSockets:
    """The sockets of one pod, and its next free source port."""

    namespace: Namespace
    address: Address
    raw: socket
    listening: dict[tuple[Protocol, int], socket] = field(default_factory=dict)
    _port: int = FIRST_PORT

    @property
    def family(self) -> int:
        """The address family of its sockets."""
        return family_of(self.address)

    def next_port(self) -> int:
        """A source port that was not used for long."""
        self._port = self._port + 1 if self._port < LAST_PORT else FIRST_PORT
        return self._port


def family_of(address: Address) -> int:
    """AF_INET or AF_INET6."""
    return AF_INET if address.version == 4 else AF_INET6


class Servers:
    """Opens pods' sockets and answers on them; its owner runs the selector.

    Args:
        selector: where sockets are registered, each with a handler that is called without
            arguments.
        heard: told of SCTP packets that answer an attempt, with the pod's address and the sender's.
        failed: told of SCTP packets that could not be delivered, with the pod's address, the
            destination's and the errno.
    """

    def __init__(self, selector: selectors.BaseSelector, heard: Heard, failed: Failed) -> None:
        self._selector = selector
        self._heard = heard
        self._failed = failed

    def open(self, namespace: Namespace, address: Address) -> PodSockets:
        """A pod without listeners yet.

        Raises:
            OSError: the namespace is not there, or this process is not root.
        """
        raw = namespace.open(family_of(address), SOCK_RAW, sctp.PROTOCOL)
        raw.setblocking(False)
        level, option = _RECVERR[address.version]
        raw.setsockopt(level, option, 1)
        pod = PodSockets(namespace=namespace, address=address, raw=raw)
        self._selector.register(raw, selectors.EVENT_READ, lambda: self._sctp(pod))
        return pod

    def listen(self, pod: PodSockets, protocol: Protocol, port: int) -> None:
        """Serve a port, unless it is served.

        Raises:
            OSError: the port is taken.
        """
        if (protocol, port) in pod.listening or protocol is Protocol.SCTP:
            return
        kind = SOCK_STREAM if protocol is Protocol.TCP else SOCK_DGRAM
        bound = pod.namespace.open(pod.family, kind)
        pod.listening[(protocol, port)] = bound
        bound.setblocking(False)
        bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        bound.bind((str(pod.address), port))
        if protocol is Protocol.TCP:
            bound.listen(BACKLOG)
        answer = _accept if protocol is Protocol.TCP else _echo
        self._selector.register(bound, selectors.EVENT_READ, lambda: answer(bound))

    def close(self, pod: PodSockets) -> None:
        """Stop serving a pod."""
        for each in (pod.raw, *pod.listening.values()):
            self._selector.unregister(each)
            each.close()

    def _sctp(self, pod: PodSockets) -> None:
        self._errors(pod)
        try:
            data, (sender, *_) = pod.raw.recvfrom(_LONGEST)
        except OSError:
            # Nothing to read but the errors above, whose last one the socket tells once more.
            return
        packet = sctp.decode(data) if pod.family == AF_INET else sctp.read(data)
        if packet is None:
            return
        said = sctp.answer(packet, packet.target)
        if said is not None:
            with suppress(OSError):  # the one who asked may be gone
                pod.raw.sendto(said.encode(), (sender, 0))
        else:
            self._heard(pod.address, sender, packet)

    def _errors(self, pod: PodSockets) -> None:
        """ICMP errors about packets that were sent: the kernel gives the packet back."""
        while True:
            try:
                data, details, _, address = pod.raw.recvmsg(_LONGEST, 1024, MSG_ERRQUEUE)
            except OSError:
                return
            packet = sctp.read(data)
            if packet is not None and details:
                number = int.from_bytes(details[0][2][:4], "little")
                self._failed(pod.address, address[0], packet, number or errno.EHOSTUNREACH)


def _accept(listener: socket) -> None:
    # One that was reset before it was accepted is none of the server's business. The end is an
    # orderly one: a reset might reach the client before it has looked.
    with suppress(OSError):
        link, _ = listener.accept()
        link.close()


def _echo(endpoint: socket) -> None:
    with suppress(OSError):
        data, sender = endpoint.recvfrom(_LONGEST)
        endpoint.sendto(data, sender)
