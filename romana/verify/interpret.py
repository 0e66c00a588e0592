"""What becomes of all packets of one class: the rules are followed with sets of packets instead of
one.

Of a class everything is fixed but the peer's address, the protocol and the port. Each rule takes of
the packets that come to it those that it matches, and leaves the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from romana.policy.intervals import contains
from romana.policy.space import (
    ANYTHING,
    EMPTY,
    LAST_ADDRESS,
    LAST_PORT,
    Part,
    Region,
    at,
    everything,
    join,
    meet,
    minus,
    region_of,
    traffic,
)
from romana.verify.forms import (
    INTERFACES,
    Chain,
    Decision,
    Element,
    Field,
    Lookup,
    Match,
    NameMatch,
    NumberMatch,
    Rule,
    Table,
    UnknownForm,
    Verdict,
)

MAX_DEPTH = 16
"""Of jumps, as in the kernel."""

PATHS: Mapping[str, tuple[str, ...]] = {
    "forward": ("prerouting", "forward", "postrouting"),
    "input": ("prerouting", "input"),
    "output": ("output", "postrouting"),
}
"""The hooks that a packet passes, by what is done with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketClass:
    """Packets that differ in nothing but their peer and their traffic.

    Args:
        path: key of PATHS.
        family: 4 or 6.
        from_interface: name; empty where a packet has none.
        to_interface: name; empty where a packet has none.
        own: the field that is fixed: SOURCE or DESTINATION; the peer's address is the other.
        address: the value of that field.
        state: as conntrack numbers it.
        flags: of TCP.
    """

    path: str
    family: int
    from_interface: str = ""
    to_interface: str = ""
    own: Field
    address: int
    state: int
    flags: int

    @property
    def peer(self) -> Field:
        """The address that is not fixed."""
        return Field.DESTINATION if self.own is Field.SOURCE else Field.SOURCE

    def interface(self, field: Field) -> str:
        """The name of the interface that a field asks for."""
        return self.from_interface if field is Field.FROM_INTERFACE else self.to_interface


@dataclass(frozen=True, slots=True)
class Fate:
    """Where packets ended: accepted, dropped, or at the end of a chain (`rest`). `masqueraded` are
    those of the accepted that took the node's address."""

    accepted: Region = EMPTY
    dropped: Region = EMPTY
    rest: Region = EMPTY
    masqueraded: Region = EMPTY

    def joined(self, other: Fate) -> Fate:
        """The fates of both, beside the rest of the first."""
        return Fate(
            join(self.accepted, other.accepted),
            join(self.dropped, other.dropped),
            self.rest,
            join(self.masqueraded, other.masqueraded),
        )


class Interpreter:
    """Follows the rules of one table; remembers what its sets are.

    Args:
        table: as it was read back.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._regions: dict[tuple[object, ...], Region] = {}
        self._maps: dict[tuple[object, ...], tuple[tuple[Verdict, Region], ...]] = {}
        self._hooked: dict[str, tuple[Chain, ...]] = {}

    def fate(self, case: PacketClass, packets: Region) -> Fate:
        """What becomes of the packets of a class on their whole way through this host.

        Raises:
            UnknownForm: the rules cannot be followed.
        """
        result = Fate()
        for chain in self._on_path(case.path):
            found = self._chain(chain, case, packets, 0)
            result = result.joined(found)
            if chain.drops:
                result = result.joined(Fate(dropped=found.rest))
                packets = found.accepted
            else:
                packets = join(found.accepted, found.rest)
        return Fate(accepted=packets, dropped=result.dropped, masqueraded=result.masqueraded)

    def _on_path(self, path: str) -> tuple[Chain, ...]:
        known = self._hooked.get(path)
        if known is None:
            order = PATHS[path]
            hooked = [each for each in self._table.chains.values() if each.hook in order]
            hooked.sort(key=lambda each: (order.index(each.hook), each.priority))
            known = self._hooked[path] = tuple(hooked)
        return known

    def _chain(self, chain: Chain, case: PacketClass, packets: Region, depth: int) -> Fate:
        if depth > MAX_DEPTH:
            raise UnknownForm(f"jumps deeper than {MAX_DEPTH}")
        result = Fate()
        returned = EMPTY
        for rule in chain.rules:
            for verdict, matched in self._decided(rule, case, packets):
                packets = minus(packets, matched)
                found = self._verdict(verdict, case, matched, depth)
                result = result.joined(found)
                if verdict.decision is Decision.JUMP:
                    packets = join(packets, found.rest)
                else:
                    returned = join(returned, found.rest)
            if not packets:
                break
        return Fate(result.accepted, result.dropped, join(returned, packets), result.masqueraded)

    def _verdict(self, verdict: Verdict, case: PacketClass, packets: Region, depth: int) -> Fate:
        decision = verdict.decision
        if decision is Decision.ACCEPT:
            return Fate(accepted=packets)
        if decision is Decision.MASQUERADE:
            return Fate(accepted=packets, masqueraded=packets)
        if decision is Decision.DROP:
            return Fate(dropped=packets)
        if decision is Decision.RETURN:
            return Fate(rest=packets)
        return self._chain(self._table.chains[verdict.target], case, packets, depth + 1)

    def _decided(
        self, rule: Rule, case: PacketClass, packets: Region
    ) -> Iterator[tuple[Verdict, Region]]:
        """What a rule matches, with the verdict on it."""
        for match in rule.matches:
            if not packets:
                return
            packets = self._matched(match, case, packets)
        if not packets:
            return
        if rule.verdict is not None:
            yield rule.verdict, packets
        elif rule.lookup is not None:
            for verdict, region in self._verdicts(rule.lookup, case):
                matched = meet(packets, region)
                if matched:
                    yield verdict, matched

    def _matched(self, match: Match, case: PacketClass, packets: Region) -> Region:
        if isinstance(match, NameMatch):
            return packets if name_matches(match, case.interface(match.field)) else EMPTY
        if match.family and match.family != case.family:
            return EMPTY
        if isinstance(match, Lookup):
            region = self._set(match, case)
            return minus(packets, region) if match.negated else meet(packets, region)
        return self._numbered(match, case, packets)

    def _numbered(self, match: NumberMatch, case: PacketClass, packets: Region) -> Region:
        scope = everything(case.family, match.scope)
        values = self._values(match, case)
        if match.negated:
            return minus(meet(packets, scope), values)
        return meet(packets, meet(scope, values))

    def _values(self, match: NumberMatch, case: PacketClass) -> Region:
        """All packets whose field has one of the values."""
        fixed = {
            case.own: case.address,
            Field.FAMILY: case.family,
            Field.STATE: case.state,
            Field.FLAGS: case.flags,
        }.get(match.field)
        if fixed is not None:
            number = fixed & match.mask if match.mask else fixed
            return everything(case.family) if contains(match.values, number) else EMPTY
        if match.mask:
            raise UnknownForm(f"a mask on {match.field.value}")
        if match.field is case.peer:
            return tuple((low, high, ANYTHING) for low, high in match.values)
        values = match.values
        if match.field is Field.PROTOCOL:
            values = tuple((low << 16, high << 16 | LAST_PORT) for low, high in values)
        return everything(case.family, values)

    def _set(self, lookup: Lookup, case: PacketClass) -> Region:
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

    def _verdicts(self, lookup: Lookup, case: PacketClass) -> tuple[tuple[Verdict, Region], ...]:
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


def name_matches(match: NameMatch, name: str) -> bool:
    """Whether an interface's name is meant."""
    same = name.startswith(match.name) if match.wildcard else name == match.name
    return same is not match.negated


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
