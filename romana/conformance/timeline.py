"""Which states may have been in force when a packet was judged, and what each of them says of it.
Pure.

A state is in force nowhere before it is written, and anywhere until a later one is in force
everywhere. Two hosts may be at different states at a time: so only what one side says throughout
binds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from romana.conformance.cases import Sides
from romana.lab.datagrams import Packet

Pair = tuple[str, str, int]
"""Source, destination, destination port."""

GRACE_S = 1.0
"""A packet that never arrived may have been judged so long after it was sent, and not later."""


@dataclass(slots=True, kw_only=True)
class State:
    """One state of the cluster.

    Args:
        written: when it began to be written (seconds since the epoch).
        enforced: when it was known to be in force everywhere; None where it never was.
        sides: what both sides say of each pair. A pair that is not in here is not bound.
    """

    written: float
    sides: Mapping[Pair, Sides]
    enforced: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A span in which packets may be lost, or pass, for a cause of its own.

    Args:
        loses: whether what must pass may be lost.
        admits: whether what must not pass may.
        pod: whose packets it concerns; empty for all.
        port: which; 0 for all.
    """

    since: float
    until: float
    loses: bool = False
    admits: bool = False
    pod: str = ""
    port: int = 0


class Timeline:
    """States in the order in which they were written.

    Args:
        kept: destination ports of connections that stay, each with the source port.
        cut_s: those are cut only after the state that closes them is in force: they are bound to be
            closed where they have been for so many seconds, and never were open the other way:
            an answer that is under way when a connection is cut may open one the other way, to
            which all that follows is answers.
    """

    def __init__(self, kept: Mapping[int, int] = MappingProxyType({}), cut_s: float = 5.0) -> None:
        self._kept, self._cut_s = kept, cut_s
        self._states: list[State] = []
        self._ends: list[float] | None = None

    def write(self, at: float, sides: Mapping[Pair, Sides]) -> State:
        """Take notice of a state that is about to be written."""
        state = State(written=at, sides=sides)
        self._states.append(state)
        self._ends = None
        return state

    def enforce(self, state: State, at: float) -> None:
        """Take notice that a state is in force everywhere."""
        state.enforced = at
        self._ends = None

    def possible(self, since: float, until: float) -> list[State]:
        """The states that may be in force at some time of a span."""
        ends = self._superseded()
        last = bisect_right([each.written for each in self._states], until)
        return [
            state
            for state, end in zip(self._states[:last], ends[:last], strict=True)
            if end >= since
        ]

    def bound(self, packet: Packet) -> bool | None:
        """Whether a packet had to pass (True) or must not (False); None where neither."""
        until = packet.sent + GRACE_S if packet.arrived is None else packet.arrived
        pair = (packet.source, packet.destination, packet.port)
        sides = [state.sides.get(pair) for state in self.possible(packet.sent, until)]
        known = [each for each in sides if each is not None]
        if not known or len(known) < len(sides):
            return None
        if all(each.admitted for each in known):
            return True
        before = packet.sent - self._cut_s if packet.port in self._kept else packet.sent
        return False if self._closed(pair, self.possible(before, until)) else None

    def closed_now(self, pair: Pair) -> bool:
        """Whether the last state closes a pair."""
        return self._closed(pair, self._states[-1:])

    def _closed(self, pair: Pair, states: Sequence[State]) -> bool:
        if not _closed([state.sides.get(pair) for state in states]):
            return False
        if pair[2] not in self._kept:
            return True
        back = (pair[1], pair[0], self._kept[pair[2]])
        return not any(
            sides.admitted for state in self._states if (sides := state.sides.get(back)) is not None
        )

    def _superseded(self) -> list[float]:
        """When each state was no longer in force anywhere."""
        if self._ends is None:
            ends, end = [], float("inf")
            for state in reversed(self._states):
                ends.append(end)
                if state.enforced is not None:
                    end = min(end, state.enforced)
            self._ends = ends[::-1]
        return self._ends


def _closed(sides: Sequence[Sides | None]) -> bool:
    """Whether one of the sides says no throughout."""
    known = [each for each in sides if each is not None]
    if len(known) < len(sides):
        return False
    return not any(each.ingress for each in known) or not any(each.egress for each in known)


@dataclass(slots=True)
class Tally:
    """What came of packets.

    Args:
        admitted: had to pass.
        denied: must not.
        free: neither.
        explained: of those that did otherwise, how many a fault explains.
        wrong: the others.
    """

    admitted: int
    denied: int
    free: int
    explained: int
    wrong: list[Packet]


def tally(timeline: Timeline, packets: Iterable[Packet], faults: Iterable[Fault] = ()) -> Tally:
    """Judge packets.

    Args:
        timeline: the states.
        packets: those that were sent.
        faults: what explains losses or passages.
    """
    spans = tuple(faults)
    found = Tally(0, 0, 0, 0, [])
    for packet in packets:
        must = timeline.bound(packet)
        if must is None:
            found.free += 1
            continue
        found.admitted += must
        found.denied += not must
        if must is (packet.arrived is not None):
            continue
        if any(_explains(each, packet) for each in spans):
            found.explained += 1
        else:
            found.wrong.append(packet)
    return found


def _explains(fault: Fault, packet: Packet) -> bool:
    lost = packet.arrived is None
    until = packet.sent + GRACE_S if packet.arrived is None else packet.arrived
    meets = packet.sent <= fault.until and fault.since <= until
    concerns = fault.pod in ("", packet.source, packet.destination) and fault.port in (
        0,
        packet.port,
    )
    return meets and concerns and (fault.loses if lost else fault.admits)


def told(packets: Iterable[Packet]) -> Iterator[str]:
    """Packets in words."""
    for each in packets:
        came = "lost" if each.arrived is None else f"arrived at {each.arrived:.4f}"
        yield f"{each.source} to {each.destination} {each.port}, sent at {each.sent:.4f}: {came}"
