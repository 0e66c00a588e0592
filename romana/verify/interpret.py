"""What becomes of all packets of one class: the rules are followed with sets of packets instead of
one.

Of a class everything is fixed but the peer's address, the protocol and the port. Each rule takes of
the packets that come to it those that it matches, and leaves the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from romana.policy.intervals import contains
from romana.policy.space import (
    ANYTHING,
    EMPTY,
    LAST_ADDRESS,
    LAST_PORT,
    Region,
    everything,
    join,
    meet,
    minus,
)
from romana.verify.forms import (
    INTERFACES,
    Chain,
    Decision,
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
from romana.verify.packets import PATHS, PacketClass
from romana.verify.sets import Sets

MAX_DEPTH = 16
"""Of jumps, as in the kernel."""


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
    """Follows the rules of one table; remembers what came of it.

    Args:
        table: as it was read back.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._sets = Sets(table)
        self._fates: dict[tuple[object, ...], Fate] = {}
        self._peers_only: dict[tuple[str, Field], bool] = {}
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
            for verdict, matched in self.decided(rule, case, packets):
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
        return self._called(verdict.target, case, packets, depth + 1)

    def _called(self, name: str, case: PacketClass, packets: Region, depth: int) -> Fate:
        """The fate of packets that come to a chain. Many endpoints share a program: what becomes of
        everything there is worked out once."""
        chain = self._table.chains[name]
        if len(packets) > 1 or not self._only_of_peers(name, case):
            return self._chain(chain, case, packets, depth)
        key = (name, case.path, case.family, case.own, case.state, case.flags, packets)
        known = self._fates.get(key)
        if known is None:
            known = self._chain(chain, case, packets, depth)
            if packets[0][1] == LAST_ADDRESS[case.family]:  # a pod's alone would not come again
                self._fates[key] = known
        return known

    def _only_of_peers(self, name: str, case: PacketClass) -> bool:
        """Whether the rules of a chain, and of those that it leads to, ask nothing of interfaces
        and of the own address."""
        known = self._peers_only.get((name, case.own))
        if known is None:
            self._peers_only[name, case.own] = False  # while it is not known: for a circle
            known = self._peers_only[name, case.own] = all(
                rule.lookup is None
                and not any(_asks({*INTERFACES, case.own}, match) for match in rule.matches)
                and (
                    rule.verdict is None
                    or not rule.verdict.target
                    or self._only_of_peers(rule.verdict.target, case)
                )
                for rule in self._table.chains[name].rules
            )
        return known

    def decided(
        self, rule: Rule, case: PacketClass, packets: Region
    ) -> Iterator[tuple[Verdict, Region]]:
        """What a rule matches of packets, with the verdict on it.

        Raises:
            UnknownForm: the rule cannot be followed.
        """
        for match in rule.matches:
            if not packets:
                return
            packets = self._matched(match, case, packets)
        if not packets:
            return
        if rule.verdict is not None:
            yield rule.verdict, packets
        elif rule.lookup is not None:
            for verdict, region in self._sets.verdicts(rule.lookup, case):
                matched = meet(packets, region)
                if matched:
                    yield verdict, matched

    def _matched(self, match: Match, case: PacketClass, packets: Region) -> Region:
        if isinstance(match, NameMatch):
            return packets if name_matches(match, case.interface(match.field)) else EMPTY
        if match.family and match.family != case.family:
            return EMPTY
        if isinstance(match, Lookup):
            region = self._sets.region(match, case)
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


def _asks(fields: set[Field], match: Match) -> bool:
    asked = match.fields if isinstance(match, Lookup) else (match.field,)
    return not fields.isdisjoint(asked)


def name_matches(match: NameMatch, name: str) -> bool:
    """Whether an interface's name is meant."""
    same = name.startswith(match.name) if match.wildcard else name == match.name
    return same is not match.negated
