"""Into which classes all packets fall: every packet that can meet our table is in one of these, and
those of one class differ in nothing that a rule or the intent asks for, but for peer and traffic.

- Interfaces: each pod's; each that the table names besides; one that is called as a pod's but is
  not known; one that is not.
- The own address (of the pod's side): the endpoint's; and the intervals between all addresses that
  rules and elements name for that interface.
- State and flags: one of each kind that the rules tell apart.
- From pod to pod: each pair of endpoints of this host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product

from romana.policy.intervals import Interval, Intervals, contains
from romana.policy.space import ANYTHING, LAST_ADDRESS, Region, everything, region_of
from romana.verify.forms import (
    INTERFACES,
    Chain,
    Decision,
    Field,
    Lookup,
    NameMatch,
    NumberMatch,
    Rule,
    Table,
)
from romana.verify.intent import (
    NEW,
    STATES,
    SYN,
    TCP_TRAFFIC,
    UNTRACKED,
    Intent,
    addresses_of,
    opens,
)
from romana.verify.interpret import name_matches
from romana.verify.packets import PATHS, PacketClass

ELSEWHERE = "eth0"
"""Stands for every interface that neither is a pod's nor is named in the table."""

Case = tuple[PacketClass, Region]
"""A class, and which of its packets are looked at."""


class Classes:
    """The classes for one table and one intent."""

    def __init__(self, table: Table, intent: Intent) -> None:
        self._table = table
        self._intent = intent
        self._kinds = tuple(_kinds(table))
        self._pods = tuple(intent.admission.endpoints)
        named = frozenset(_names(table)) - frozenset(self._pods)
        self._strangers = (f"{intent.prefix}?", *sorted(named), ELSEWHERE)

    def __iter__(self) -> Iterator[Case]:
        """All of them, first those of single pods."""
        for pod in self._pods:
            for other in self._strangers:
                yield from self._forward(pod, other, Field.SOURCE)
                yield from self._forward(other, pod, Field.DESTINATION)
            yield from self._input(pod)
            yield from self._output(pod)
        for first, second in product(self._strangers, repeat=2):
            yield from self._forward(first, second, Field.SOURCE)
        for each in self._strangers:
            yield from self._input(each)
            yield from self._output(each)
        for first, second in product(self._pods, repeat=2):
            if first != second:
                yield from self._pair(first, second)

    def _forward(self, first: str, second: str, own: Field) -> Iterator[Case]:
        yield from self._cases("forward", first, second, own)

    def _input(self, interface: str) -> Iterator[Case]:
        yield from self._cases("input", interface, "", Field.SOURCE)

    def _output(self, interface: str) -> Iterator[Case]:
        yield from self._cases("output", "", interface, Field.DESTINATION)

    def _cases(self, path: str, first: str, second: str, own: Field) -> Iterator[Case]:
        for family in (4, 6):
            for low, _ in self._own(path, first, second, own, family):
                for state, flags, traffic in self._kinds:
                    yield (
                        PacketClass(
                            path=path,
                            family=family,
                            from_interface=first,
                            to_interface=second,
                            own=own,
                            address=low,
                            state=state,
                            flags=flags,
                        ),
                        everything(family, traffic),
                    )

    def _pair(self, first: str, second: str) -> Iterator[Case]:
        endpoints = self._intent.admission.endpoints
        for family in (4, 6):
            targets = addresses_of(endpoints[second].endpoint, family)
            for source in addresses_of(endpoints[first].endpoint, family) if targets else ():
                for state, flags, traffic in self._kinds:
                    case = PacketClass(
                        path="forward",
                        family=family,
                        from_interface=first,
                        to_interface=second,
                        own=Field.SOURCE,
                        address=source,
                        state=state,
                        flags=flags,
                    )
                    yield case, region_of((each, each, traffic) for each in targets)

    def _own(
        self, path: str, first: str, second: str, own: Field, family: int
    ) -> Iterator[Interval]:
        """Intervals of the own address on which neither table nor intent make a difference."""
        cuts = {0}
        interfaces = {Field.FROM_INTERFACE: first, Field.TO_INTERFACE: second}
        for low, high in self._asked(path, interfaces, own, family):
            cuts.update((low, high + 1))
        pod = self._intent.admission.endpoints.get(first if own is Field.SOURCE else second)
        for each in addresses_of(pod.endpoint, family) if pod else ():
            cuts.update((each, each + 1))
        if family == 6 and path == "input":
            cuts.update((1, 0xFE80 << 112, 0xFEC0 << 112))
        ordered = sorted(each for each in cuts if each <= LAST_ADDRESS[family])
        ends = (*(each - 1 for each in ordered[1:]), LAST_ADDRESS[family])
        yield from zip(ordered, ends, strict=True)

    def _asked(
        self, path: str, interfaces: dict[Field, str], own: Field, family: int
    ) -> Iterator[Interval]:
        """What the rules on a way ask of the own address."""
        for rule in self._rules(path, interfaces, own):
            for match in (*rule.matches, *((rule.lookup,) if rule.lookup else ())):
                if isinstance(match, NameMatch) or match.family not in (0, family):
                    continue
                if isinstance(match, NumberMatch):
                    if match.field is own:
                        yield from match.values
                elif own in match.fields:
                    yield from self._elements(match, interfaces, own)

    def _elements(
        self, lookup: Lookup, interfaces: dict[Field, str], own: Field
    ) -> Iterator[Interval]:
        place = lookup.fields.index(own)
        named = [
            (index, interfaces[each])
            for index, each in enumerate(lookup.fields)
            if each in INTERFACES
        ]
        for element in self._table.elements[lookup.name]:
            value = element.values[place]
            if not isinstance(value, str) and all(element.values[i] == name for i, name in named):
                yield value

    def _rules(self, path: str, interfaces: dict[Field, str], own: Field) -> Iterator[Rule]:
        """The rules that packets between two interfaces can meet. Which packets take the node's
        address is looked at by their source only."""
        waiting = [
            name
            for name, chain in self._table.chains.items()
            if chain.hook in PATHS[path]
            if own is Field.SOURCE or not _only_masquerades(chain)
        ]
        seen = set(waiting)
        while waiting:
            for rule in self._table.chains[waiting.pop()].rules:
                names = [each for each in rule.matches if isinstance(each, NameMatch)]
                if not all(name_matches(each, interfaces[each.field]) for each in names):
                    continue
                yield rule
                for target in _targets(rule, self._table, interfaces):
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)


def _only_masquerades(chain: Chain) -> bool:
    return not chain.drops and all(
        rule.verdict is not None and rule.verdict.decision is Decision.MASQUERADE
        for rule in chain.rules
    )


def _targets(rule: Rule, table: Table, interfaces: dict[Field, str]) -> Iterator[str]:
    if rule.verdict and rule.verdict.target:
        yield rule.verdict.target
    if rule.lookup:
        fields = rule.lookup.fields
        for element in table.elements[rule.lookup.name]:
            verdict = element.verdict
            if (
                verdict
                and verdict.decision in (Decision.JUMP, Decision.GOTO)
                and all(
                    interfaces[field] == value
                    for field, value in zip(fields, element.values, strict=True)
                    if field in INTERFACES
                )
            ):
                yield verdict.target


def _kinds(table: Table) -> Iterator[tuple[int, int, Intervals]]:
    """One state with one set of flags for each kind that the rules, or the intent, tell apart, and
    the traffic to look at: other flags are of account for TCP only."""
    matches = [
        match
        for chain in table.chains.values()
        for rule in chain.rules
        for match in rule.matches
        if isinstance(match, NumberMatch)
    ]
    states = _distinct(STATES, [each for each in matches if each.field is Field.STATE], _judged)
    flags = _distinct(
        (SYN, *range(256)), [each for each in matches if each.field is Field.FLAGS], opens
    )
    for state, each in product(sorted(states, key=lambda each: each != NEW), flags):
        yield state, each, ANYTHING if each == SYN else TCP_TRAFFIC


def _judged(state: int) -> bool:
    return state in (NEW, UNTRACKED)


def _distinct(
    numbers: Iterable[int],
    matches: list[NumberMatch],
    intent: Callable[[int], bool] = lambda _: True,
) -> list[int]:
    found: dict[tuple[bool, ...], int] = {}
    for number in numbers:
        told = [
            contains(each.values, number & each.mask if each.mask else number) for each in matches
        ]
        told.append(intent(number))
        found.setdefault(tuple(told), number)
    return list(found.values())


def _names(table: Table) -> Iterator[str]:
    """Names of interfaces in rules and elements."""
    for chain in table.chains.values():
        for rule in chain.rules:
            for match in rule.matches:
                if isinstance(match, NameMatch):
                    yield f"{match.name}?" if match.wildcard else match.name
    for elements in table.elements.values():
        for element in elements:
            yield from (each for each in element.values if isinstance(each, str))
