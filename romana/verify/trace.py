"""One connection through the table as it was read back: does it pass, and by which elements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from romana.policy.admission import Direction, Endpoint, Flow
from romana.policy.space import Region
from romana.verify.classes import ELSEWHERE
from romana.verify.forms import Element, Field, Lookup, Rule, Table
from romana.verify.intent import NEW, SYN
from romana.verify.interpret import Interpreter
from romana.verify.packets import PacketClass
from romana.verify.sets import part_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the kernel does on one side of a connection.

    Args:
        direction: of the side.
        interface: of its pod.
        passes: whether its first packet does.
        elements: those that it meets, each with its set, in the order of the rules.
    """

    direction: Direction
    interface: str
    passes: bool
    elements: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for the operator."""
        does = "lets it pass" if self.passes else "drops it"
        by = "; ".join(self.elements) or "no element holds it"
        return f"the kernel {does} at {self.interface} ({self.direction.value}): {by}"

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "direction": self.direction.value,
            "interface": self.interface,
            "passes": self.passes,
            "elements": list(self.elements),
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
    number = flow.protocol << 16 | flow.port
    packet: Region = ((int(peer), int(peer), ((number, number),)),)
    interpreter = Interpreter(table)
    passes = bool(interpreter.fate(case, packet).accepted)
    return Trace(
        direction=direction,
        interface=endpoint.interface,
        passes=passes,
        elements=tuple(_elements(table, case, int(peer), number)),
    )


def _elements(table: Table, case: PacketClass, peer: int, number: int) -> Iterator[str]:
    """The elements that a packet meets: of the maps that send it to a program, and of that."""
    waiting = [name for name, chain in table.chains.items() if chain.hook == "forward"]
    for name in waiting:
        for rule in table.chains[name].rules:
            targets = [rule.verdict.target] if rule.verdict else []
            for element, lookup in _met(table, rule, case, peer, number):
                yield _text(element, lookup, case.family)
                targets += [element.verdict.target] if element.verdict else []
            waiting.extend(each for each in targets if each and each not in waiting)


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
