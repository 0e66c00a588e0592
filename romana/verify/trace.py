"""One connection through the table as it was read back: does it pass, and by which elements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from romana.policy.admission import Direction, Endpoint, Flow
from romana.policy.space import Region
from romana.verify.classes import ELSEWHERE
from romana.verify.forms import (
    Decision,
    Element,
    Field,
    Lookup,
    NameMatch,
    Rule,
    Table,
    Verdict,
)
from romana.verify.intent import NEW, SYN
from romana.verify.interpret import Interpreter
from romana.verify.packets import PacketClass
from romana.verify.sets import part_of


class Counter(NamedTuple):
    """What a rule or an element has counted.

    Args:
        kind: `judged` for the pod in this direction; `admitted` by the set that holds the
            connection; `not admitted` by the program; `denied` for the pod.
        packets: first ones of connections; of those that were denied, repetitions as well.
        where: the name of the chain or of the set.
    """

    kind: str
    packets: int
    where: str

    @property
    def text(self) -> str:
        """In a few words."""
        by = f"by {self.where}" if self.kind in ("admitted", "not admitted") else "for the pod"
        return f"{self.packets} {self.kind} {by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the kernel does on one side of a connection.

    Args:
        direction: of the side.
        interface: of its pod.
        passes: whether its first packet does.
        elements: those that it meets, each with its set, in the order of the rules.
        counters: what rules and elements on its way have counted.
    """

    direction: Direction
    interface: str
    passes: bool
    elements: tuple[str, ...]
    counters: tuple[Counter, ...] = ()

    @property
    def text(self) -> str:
        """One line for the operator."""
        does = "lets it pass" if self.passes else "drops it"
        by = "; ".join(self.elements) or "no element holds it"
        return f"the kernel {does} at {self.interface} ({self.direction.value}): {by}"

    @property
    def counted(self) -> str:
        """One line for the operator; empty where nothing counts."""
        told = ", ".join(each.text for each in self.counters)
        return f"packets counted on its way at {self.interface}: {told}" if told else ""

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "direction": self.direction.value,
            "interface": self.interface,
            "passes": self.passes,
            "elements": list(self.elements),
            "counters": [each._asdict() for each in self.counters],
            "text": self.text,
        }


def trace(table: Table, endpoint: Endpoint, direction: Direction, flow: Flow) -> Trace:
    """Follow the first packet of a connection at one endpoint.

    Args:
        table: as it was read back.
        endpoint: whose side is looked at.
        direction: egress where the connection comes from it.
        flow: after destination NAT.

    Raises:
        UnknownForm: the rules cannot be followed.
    """
    egress = direction is Direction.EGRESS
    own, peer = (flow.source, flow.destination) if egress else (flow.destination, flow.source)
    case = PacketClass(
        path="forward",
        family=own.version,
        from_interface=endpoint.interface if egress else ELSEWHERE,
        to_interface=ELSEWHERE if egress else endpoint.interface,
        own=Field.SOURCE if egress else Field.DESTINATION,
        address=int(own),
        state=NEW,
        flags=SYN,
    )
    walk = _Walk(table, case, int(peer), flow.protocol << 16 | flow.port)
    passes = walk.passes()
    return Trace(
        direction=direction,
        interface=endpoint.interface,
        passes=passes,
        elements=tuple(_text(*met, case.family) for step in walk.steps for met in step.met),
        counters=tuple(walk.counters()),
    )


class _Step(NamedTuple):
    """A rule that decided about the packet: in which chain, by which elements, and how."""

    chain: str
    rule: Rule
    met: tuple[tuple[Element, Lookup], ...]
    verdict: Verdict


class _Walk:
    """The way of one packet; `steps` are the rules that decided about it."""

    def __init__(self, table: Table, case: PacketClass, peer: int, number: int) -> None:
        self._table = table
        self._case = case
        self._peer, self._number = peer, number
        self._packet: Region = ((peer, peer, ((number, number),)),)
        self._interpreter = Interpreter(table)
        self.steps: list[_Step] = []

    def passes(self) -> bool:
        """Whether it gets through; not to be asked twice."""
        for name, chain in self._table.chains.items():
            if chain.hook == "forward":
                decision = self._through(name)
                if decision is Decision.DROP or (decision is None and chain.drops):
                    return False
        return True

    def _through(self, name: str) -> Decision | None:
        """What a chain decides; None where the packet comes back from it."""
        for rule in self._table.chains[name].rules:
            for verdict, _ in self._interpreter.decided(rule, self._case, self._packet):
                self.steps.append(_Step(name, rule, tuple(self._met(rule)), verdict))
                decision = verdict.decision
                if decision in (Decision.ACCEPT, Decision.MASQUERADE, Decision.DROP):
                    return decision
                if decision is Decision.RETURN:
                    return None
                found = self._through(verdict.target)
                if found is not None or decision is Decision.GOTO:
                    return found
        return None

    def counters(self) -> Iterator[Counter]:
        """What the rules and elements have counted that the packet came to, from where it is told
        whose it is."""
        own = False
        for step in self.steps:
            if own:
                yield from self._of_program(step)
            elif self._names_the_pod(step):
                own = True
                if step.rule.packets is not None:
                    yield Counter("judged", step.rule.packets, step.chain)
        for chain in dict.fromkeys(step.chain for step in self.steps):
            yield from self._of_pod(chain)

    def _of_pod(self, chain: str) -> Iterator[Counter]:
        for rule in self._table.chains[chain].counting:
            for element, lookup in self._met(rule):
                if element.packets is not None:
                    yield Counter("denied", element.packets, lookup.name)

    def _of_program(self, step: _Step) -> Iterator[Counter]:
        packets = step.rule.packets
        if packets is None:
            return
        if step.met:
            yield Counter("admitted", packets, step.met[0][1].name)
        elif step.verdict.target and self._table.chains[step.verdict.target].counting:
            yield Counter("not admitted", packets, step.chain)

    def _names_the_pod(self, step: _Step) -> bool:
        """Whether a rule, or the element that it found, names the pod's interface."""
        interface = self._case.from_interface
        if self._case.own is Field.DESTINATION:
            interface = self._case.to_interface
        named = (match for match in step.rule.matches if isinstance(match, NameMatch))
        return any(not each.wildcard and each.name == interface for each in named) or any(
            interface in element.values for element, _ in step.met
        )

    def _met(self, rule: Rule) -> Iterator[tuple[Element, Lookup]]:
        return _met(self._table, rule, self._case, self._peer, self._number)


def _met(
    table: Table, rule: Rule, case: PacketClass, peer: int, number: int
) -> Iterator[tuple[Element, Lookup]]:
    for lookup in (*rule.matches, rule.lookup):
        if isinstance(lookup, Lookup) and lookup.family in (0, case.family):
            for element in table.elements[lookup.name]:
                if _holds(element, lookup, case, peer, number):
                    yield element, lookup


def _holds(element: Element, lookup: Lookup, case: PacketClass, peer: int, number: int) -> bool:
    fixed: dict[Field, object] = {
        Field.FROM_INTERFACE: case.from_interface,
        Field.TO_INTERFACE: case.to_interface,
        case.own: case.address,
    }
    part = part_of(element, lookup.fields, fixed, case.peer, case.family)
    if part is None:
        return False
    low, high, traffic = part
    return low <= peer <= high and any(first <= number <= last for first, last in traffic)


def _text(element: Element, lookup: Lookup, family: int) -> str:
    """`10.112.0.2 . 6 . 80 in in-1234-host-ports4`, with the verdict of a map's element."""
    make = IPv4Address if family == 4 else IPv6Address
    texts = []
    for field, value in zip(lookup.fields, element.values, strict=True):
        if isinstance(value, str):
            texts.append(value)
            continue
        address = field in (Field.SOURCE, Field.DESTINATION)
        low, high = (str(make(end)) if address else str(end) for end in value)
        texts.append(low if low == high else f"{low}-{high}")
    verdict = ""
    if element.verdict:
        verdict = f" : {element.verdict.decision.value} {element.verdict.target}".rstrip()
    return f"{' . '.join(texts)}{verdict} in {lookup.name}"
