"""One nftables table as a value, and the difference of two as a transaction for `nft -f -`. Pure.

Rules of a transaction (nft commits the whole text or nothing of it):
- what is referred to exists first: counters, chains and sets are added before elements, and
  elements before rules;
- elements are deleted before others are added: intervals must not overlap and a map's key has one
  verdict;
- a chain whose rules changed is flushed and filled again: rules have no identity of their own;
- what is referred to is removed last: elements and rules, then sets, then chains, then counters;
- a set or a base chain cannot change its type or hook: then the table is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

TABLE = "inet romana"
HOOKED = ("forward", "input", "postrouting")
"""The base chains of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A set, or with `verdicts` a map from keys to verdicts.

    `elements` are texts in nft's syntax and in one canonical form each: parts joined by ` . `,
    addresses in their shortest form, protocols and ports as numbers, ranges as `low-high` (never a
    prefix), interface names quoted; in a verdict map, the verdict follows behind ` : `.

    `counted`: each element counts the packets that it is found for. Not every nft prints that of a
    set, so it is no part of the header, which is compared.
    """

    type: str
    interval: bool = False
    verdicts: bool = False
    counted: bool = False
    elements: frozenset[str] = frozenset()

    @property
    def keyword(self) -> str:
        """`map` or `set`."""
        return "map" if self.verdicts else "set"

    @property
    def header(self) -> str:
        """Type and flags: what cannot change while the set lives."""
        verdict = " : verdict" if self.verdicts else ""
        flags = " flags interval;" if self.interval else ""
        return f"type {self.type}{verdict};{flags}"

    @property
    def declaration(self) -> str:
        """What makes the set."""
        return f"{self.header} counter;" if self.counted else self.header


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain: its rules as nft writes them, and the hook of a base chain (`type filter hook ...;`)
    or nothing."""

    rules: tuple[str, ...] = ()
    hook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """The table: sets and maps, chains, named counters, each by name."""

    sets: Mapping[str, Set] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()

    def structure(self) -> Ruleset:
        """The same table with every set empty."""
        empty = {name: replace(each, elements=frozenset()) for name, each in self.sets.items()}
        return Ruleset(sets=empty, chains=self.chains, counters=self.counters)


EMPTY = Ruleset()


def difference(old: Ruleset | None, new: Ruleset) -> str:
    """The transaction that makes `new` of `old`; empty where they are equal.

    Args:
        old: what the kernel holds; None where that is not known, and the whole table is replaced.
        new: what it is to hold.
    """
    if old is None or not changeable(old, new):
        return replacement(new)
    if old == EMPTY:
        return creation(new) if new != EMPTY else ""
    return "".join(_changes(old, new))


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What changes in one set.

    Args:
        name: of the set.
        kind: its type and flags; its elements are those of after.
        deleted: elements, before any are added.
        added: elements.
    """

    name: str
    kind: Set
    deleted: frozenset[str]
    added: frozenset[str]


def edits(old: Ruleset, new: Ruleset) -> tuple[Edit, ...] | None:
    """What changes in the sets that `new` holds, those that `old` does not hold among them; None
    where one would have to change its type."""
    found = []
    for name, each in new.sets.items():
        before = old.sets.get(name)
        if before is each:
            continue
        if before is not None and before.header != each.header:
            return None
        had = before.elements if before else frozenset()
        deleted, added = had - each.elements, each.elements - had
        if deleted or added or before is None:
            found.append(Edit(name=name, kind=each, deleted=deleted, added=added))
    return tuple(found)


def replacement(new: Ruleset) -> str:
    """The transaction that makes `new` of anything: the table is deleted and made again in one
    step, so that no packet passes between."""
    return removal() + creation(new)


def creation(new: Ruleset) -> str:
    """The transaction that makes `new` where there is no table."""
    return "".join((f"add table {TABLE}\n", *_changes(EMPTY, new)))


def removal() -> str:
    """The transaction that removes the table, whether it is there or not. Who is being judged by it
    at this moment finds its maps empty (see `unhooking`)."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


def unhooking() -> str:
    """The transaction that leaves the table, whether it is there or not, without base chains: what
    is being judged by it at this moment is, to the end, and nothing more."""
    lines = [f"add table {TABLE}\n"]
    for name in HOOKED:
        chain = f"chain {TABLE} {name}\n"
        lines += (f"add {chain}", f"flush {chain}", f"delete {chain}")
    return "".join(lines)


def changeable(old: Ruleset, new: Ruleset) -> bool:
    """Whether everything that both hold kept its type, flags and hook: else the table is replaced
    as a whole."""
    sets = all(
        old.sets[name] is new.sets[name] or old.sets[name].header == new.sets[name].header
        for name in old.sets.keys() & new.sets.keys()
    )
    return sets and all(
        old.chains[name].hook == new.chains[name].hook
        for name in old.chains.keys() & new.chains.keys()
    )


def _changes(old: Ruleset, new: Ruleset) -> Iterator[str]:
    yield from _additions(old, new)
    kept = [name for name in new.sets if name in old.sets and old.sets[name] is not new.sets[name]]
    for name in kept:
        yield from _elements("delete", name, old.sets[name].elements - new.sets[name].elements)
    for name, each in new.sets.items():
        before = old.sets.get(name)
        if before is not each:
            yield from _elements(
                "add", name, each.elements - before.elements if before else each.elements
            )
    for name, chain in new.chains.items():
        former = old.chains.get(name)
        if former is None or former.rules != chain.rules:
            yield from _filling(name, chain, flush=former is not None)
    yield from _removals(old, new)


def _additions(old: Ruleset, new: Ruleset) -> Iterator[str]:
    for name in sorted(new.counters - old.counters):
        yield f"add counter {TABLE} {name}\n"
    for name, chain in new.chains.items():
        if name not in old.chains:
            hook = f" {{ {chain.hook} }}" if chain.hook else ""
            yield f"add chain {TABLE} {name}{hook}\n"
    for name, each in new.sets.items():
        if name not in old.sets:
            yield f"add {each.keyword} {TABLE} {name} {{ {each.declaration} }}\n"


def _elements(verb: str, name: str, elements: frozenset[str]) -> Iterator[str]:
    if elements:
        yield f"{verb} element {TABLE} {name} {{ {', '.join(elements)} }}\n"


def _filling(name: str, chain: Chain, *, flush: bool) -> Iterator[str]:
    if flush:
        yield f"flush chain {TABLE} {name}\n"
    for rule in chain.rules:
        yield f"add rule {TABLE} {name} {rule}\n"


def _removals(old: Ruleset, new: Ruleset) -> Iterator[str]:
    gone = [name for name in old.chains if name not in new.chains]
    for name in gone:
        yield f"flush chain {TABLE} {name}\n"
    for name, each in old.sets.items():
        if name not in new.sets:
            yield f"delete {each.keyword} {TABLE} {name}\n"
    for name in gone:
        yield f"delete chain {TABLE} {name}\n"
    for name in sorted(old.counters - new.counters):
        yield f"delete counter {TABLE} {name}\n"
