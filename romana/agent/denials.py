"""Which of the denied packets that the kernel tells of become lines of the log. Pure.

- Packets of the same pod, direction, peer, protocol and port are one line within WINDOW_S: those of
  a connection that is tried again, and of connections that are tried one after the other.
- There are at most RATE lines a second in the long run, and BURST at once.
- Each line says how many packets of its pod were denied in its direction since the line before, and
  have no line: counted by the kernel, so what the kernel did not tell of is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from romana.dataplane.counted import DeniedPackets
from romana.dataplane.denials import PREFIX, DenialLog
from romana.dataplane.nflog import LoggedPacket
from romana.objects import Address
from romana.policy.admission import Direction, Endpoint

WINDOW_S = 10.0
RATE, BURST = 10.0, 50.0
DIRECTIONS = {text: direction for direction, text in PREFIX.items()}

Side = tuple[Direction, str]
"""A direction, and the interface of a pod."""


class Tuple(NamedTuple):
    """What packets of one line have in common."""

    direction: Direction
    interface: str
    peer: Address
    protocol: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A line to be.

    Args:
        at: when the packet was told of, in seconds since the epoch.
        direction: ingress where it was sent to the pod.
        endpoint: the pod's.
        packet: the first of those that the line stands for.
        suppressed: packets without a line of their own, since the pod's last line of this
            direction.
    """

    at: float
    direction: Direction
    endpoint: Endpoint
    packet: LoggedPacket
    suppressed: int = 0

    @property
    def peer(self) -> Address:
        """The address at the other end."""
        ingress = self.direction is Direction.INGRESS
        return self.packet.source if ingress else self.packet.destination


class Denials:
    """Gathers packets, and gives the lines that they come to.

    Args:
        clock: monotonic seconds.
        now: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._until: dict[Tuple, float] = {}
        self._tokens = BURST
        self._filled = clock()
        self._gathered: list[Denial] = []
        self._counted: dict[Side, int] = {}
        self._early: dict[Side, int] = {}

    @property
    def gathered(self) -> bool:
        """Whether there is a line to be told."""
        return bool(self._gathered)

    def begin(self, counts: DeniedPackets) -> None:
        """Begin with what has been counted so far: of that nothing is told."""
        self._gathered.clear()
        self._until.clear()
        self._early.clear()
        self._counted = {
            (direction, name): packets
            for direction, by_interface in counts.items()
            for name, packets in by_interface.items()
        }

    def take(
        self, packet: LoggedPacket, owners: Mapping[Address, Endpoint], log: DenialLog
    ) -> None:
        """Take notice of a packet.

        Args:
            packet: as the kernel told of it.
            owners: this host's pods by their addresses.
            log: whose packets are wanted.
        """
        direction = DIRECTIONS.get(packet.prefix)
        if direction is None:
            return
        ingress = direction is Direction.INGRESS
        own, peer = packet.destination, packet.source
        if not ingress:
            own, peer = peer, own
        endpoint = owners.get(own)
        if endpoint is None or not log.covers(endpoint):
            return
        key = Tuple(direction, endpoint.interface, peer, packet.protocol, packet.port)
        time = self._clock()
        if self._until.get(key, time) > time or not self._may_tell(time):
            return
        self._forget(time)
        self._until[key] = time + WINDOW_S
        self._gathered.append(
            Denial(at=self._now(), direction=direction, endpoint=endpoint, packet=packet)
        )

    def lines(self, counts: DeniedPackets | None) -> tuple[Denial, ...]:
        """The lines since the last call.

        Args:
            counts: what the kernel has counted by now; None where it does not say.
        """
        found, self._gathered = self._gathered, []
        told = Counter((each.direction, each.endpoint.interface) for each in found)
        suppressed = {side: self._suppressed(side, told[side], counts) for side in told}
        return tuple(
            Denial(
                at=each.at,
                direction=each.direction,
                endpoint=each.endpoint,
                packet=each.packet,
                suppressed=suppressed.pop((each.direction, each.endpoint.interface), 0),
            )
            for each in found
        )

    def _suppressed(self, side: Side, told: int, counts: DeniedPackets | None) -> int:
        """Packets of a pod that have no line, since this was asked last, or since the agent's
        start: what was counted before is not looked at. A packet may be counted
        before the kernel tells of it: what has been given as suppressed and gets a line after all
        is taken off the next time."""
        rest = -told - self._early.get(side, 0)
        if counts is not None:
            counted = counts.get(side[0], {}).get(side[1], 0)
            before = self._counted.get(side, counted - told)
            # Fewer than before: the kernel has begun anew.
            rest += counted - before if counted >= before else counted
            self._counted[side] = counted
        self._early[side] = max(0, -rest)
        return max(0, rest)

    def _may_tell(self, time: float) -> bool:
        self._tokens = min(BURST, self._tokens + (time - self._filled) * RATE)
        self._filled = time
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _forget(self, time: float) -> None:
        """Forget what may be told again."""
        if len(self._until) > WINDOW_S * RATE + BURST:
            self._until = {key: until for key, until in self._until.items() if until > time}


def owners_of(endpoints: Iterable[Endpoint]) -> Mapping[Address, Endpoint]:
    """Endpoints by their addresses."""
    return {address: each for each in endpoints for address in each.addresses}
