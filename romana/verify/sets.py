"""A table's sets and maps as sets of packets of one class."""

from __future__ import annotations

from collections.abc import Mapping

from romana.policy.space import (
    LAST_ADDRESS,
    LAST_PORT,
    Part,
    Region,
    at,
    everything,
    region_of,
    traffic,
)
from romana.verify.forms import INTERFACES, Element, Field, Lookup, Table, UnknownForm, Verdict
from romana.verify.packets import PacketClass


class Sets:
    """Looks up; remembers what was asked.

    Args:
        table: as it was read back.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._regions: dict[tuple[object, ...], Region] = {}
        self._maps: dict[tuple[object, ...], tuple[tuple[Verdict, Region], ...]] = {}

    def region(self, lookup: Lookup, case: PacketClass) -> Region:
        """All packets of a class that a set holds."""
        fields = lookup.fields
        if case.own in fields and not {*INTERFACES, case.peer} & set(fields):
            # A large set, asked for one of its addresses after the other.
            every = self._elements(lookup, case, dict.fromkeys(fields), case.own)
            return everything(case.family, at(every, case.address))
        fixed = {each: case.interface(each) for each in INTERFACES if each in fields}
        own = {case.own: case.address} if case.own in fields else {}
        return self._elements(lookup, case, {**fixed, **own}, case.peer)

    def _elements(
        self, lookup: Lookup, case: PacketClass, fixed: Mapping[Field, object], free: Field
    ) -> Region:
        key = (lookup.name, lookup.fields, case.family, free, *fixed.items())
        known = self._regions.get(key)
        if known is None:
            known = self._regions[key] = region_of(
                part
                for each in self._table.elements[lookup.name]
                if (part := part_of(each, lookup.fields, fixed, free, case.family)) is not None
            )
        return known

    def verdicts(self, lookup: Lookup, case: PacketClass) -> tuple[tuple[Verdict, Region], ...]:
        """What a map says of the packets of a class."""
        if lookup.family and lookup.family != case.family:
            return ()
        fixed: dict[Field, object] = {
            **{each: case.interface(each) for each in INTERFACES if each in lookup.fields},
            case.own: case.address,
        }
        key = (lookup.name, lookup.fields, case.family, *fixed.items())
        known = self._maps.get(key)
        if known is None:
            known = self._maps[key] = tuple(
                (each.verdict, (part,))
                for each in self._table.elements[lookup.name]
                if (part := part_of(each, lookup.fields, fixed, case.peer, case.family)) is not None
                and each.verdict is not None
            )
        return known


def part_of(
    element: Element,
    fields: tuple[Field, ...],
    fixed: Mapping[Field, object],
    free: Field,
    family: int,
) -> Part | None:
    """The packets of one element; None where there are none among those that are asked for."""
    low, high = 0, LAST_ADDRESS[family]
    protocols, ports = (0, 255), (0, LAST_PORT)
    for each, value in zip(fields, element.values, strict=True):
        if isinstance(value, str):
            if fixed.get(each, value) != value:
                return None
        elif each is free:
            low, high = value
        elif each is Field.PROTOCOL:
            protocols = value
        elif each is Field.PORT:
            ports = value
        elif not value[0] <= _number(fixed, each) <= value[1]:
            return None
    return low, high, traffic(protocols, ports)


def _number(fixed: Mapping[Field, object], field: Field) -> int:
    number = fixed.get(field)
    if not isinstance(number, int):
        raise UnknownForm(f"a lookup of {field.value}")
    return number
