"""What has to be written so that the kernel holds other tables than it does. Pure.

The rules of one table change at once, with the table; sets change element by element. So that no
packet is judged by anything but what was wanted before or what is wanted now:

1. Sets come first, in one `ipset restore`, then the rules of each family in one `iptables-restore`,
   then the sets that no rule looks up any more are removed.
2. A program that keeps its rules and its endpoints is changed in place: elements are added, then
   others deleted. All elements admit, none denies; so at each moment it admits what the old or the
   new form admits, and whatever both do. That is why its sets are not swapped one after another: a
   grant that moves from one set to another would be in neither for a moment.
   A packet may look up one set before the additions and another after the deletions, though: a
   program by which the same peer is to be admitted otherwise is no case of this.
3. Where that is so, where the rules of the program change too, or where an endpoint leaves it for
   another (and so would be judged, for a moment, by a form of the program that was never its own),
   the sets that change are made anew under another name, and the rules change over to them. An
   endpoint that only joins finds the program finished, since sets come before rules; one that goes
   altogether may see the program shrink, but not grow.
4. Programs' chains are filled within the transaction of their table: nobody sees them half full.

Every set in the kernel has a serial number in its name, which is never used twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from romana.dataplane.xtables.programs import Chains, owner
from romana.dataplane.xtables.sets import (
    IpSet,
    SetKey,
    additions,
    creation,
    deletions,
    destruction,
)
from romana.dataplane.xtables.tables import EMPTY, HOOKS, Tables, exchanging

CODE = re.compile(r"@(\S+)")

Naming = Callable[[SetKey], str]
"""Gives a set a name that none ever had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Tables, and the names of their sets in the kernel."""

    tables: Tables = EMPTY
    names: Mapping[SetKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What of ours the kernel holds in one table of one family, as far as a replacement must know.

    Args:
        chains: our chains, by name.
        hooks: how often each of the rules that lead to them is there.
        first: those that are where they must be, the first rule of their chain.
    """

    chains: frozenset[str] = frozenset()
    hooks: Mapping[str, int] = field(default_factory=dict)
    first: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What to write, in this order; any part may be empty.

    Args:
        sets: lines for `ipset restore`.
        rules: text for the `iptables-restore` of each family.
        swept: names of sets to destroy, once no rule looks them up.
        undone: lines that take back `sets`, as long as the rules are those of before.
        result: what the kernel holds then.
    """

    sets: tuple[str, ...] = ()
    rules: Mapping[int, str] = field(default_factory=dict)
    swept: frozenset[str] = frozenset()
    undone: tuple[str, ...] = ()
    result: Placed


def difference(old: Placed, new: Tables, naming: Naming) -> Change:
    """What makes `new` of `old`.

    Args:
        old: what the kernel holds.
        new: what it is to hold.
        naming: of new sets.
    """
    sets, exchanged = _SetChanges(), exchanging(old.tables, new)
    for key, wanted in new.sets.items():
        before = old.tables.sets.get(key)
        if before is wanted or before == wanted:
            sets.names[key] = old.names[key]
        elif (
            before is None
            or before.type != wanted.type
            or key.owner in exchanged
            or _renewed(key, old.tables, new)
        ):
            sets.create(key, naming(key), wanted)
        else:
            sets.edit(key, old.names[key], before, wanted)
    kept = set(sets.names.values())
    swept = frozenset(old.names.values()) - kept
    result = Placed(tables=new, names=sets.names)
    rules = dict(_rule_changes(old, result))
    return Change(
        sets=(*sets.created, *sets.added, *sets.deleted),
        rules=rules,
        swept=swept,
        undone=(*sets.restored, *sets.retracted, *sets.dropped),
        result=result,
    )


def replacement(
    found: Mapping[tuple[int, str], Found],
    sets: frozenset[str],
    new: Tables,
    naming: Naming,
    *,
    thorough: bool = True,
) -> Change:
    """What makes `new` of anything: all sets anew, and all rules in one transaction of each table.

    Args:
        found: by family and table.
        sets: the names of our sets that there are.
        new: what the kernel is to hold.
        naming: of new sets.
        thorough: whether chains that are not wanted are removed, which is refused where somebody
            else's rules lead to them; else they are only emptied.
    """
    changes = _SetChanges()
    for key, wanted in new.sets.items():
        changes.create(key, naming(key), wanted)
    result = Placed(tables=new, names=changes.names)
    rules: dict[int, str] = {}
    for (family, table), there in found.items():
        chains = _resolved(new.chains.get((family, table), {}), family, result.names)
        gone = there.chains - chains.keys()
        hooks = tuple(_hooking(table, there, wanted=bool(chains)))
        text = _text(table, chains, gone, hooks, remove=thorough)
        rules[family] = rules.get(family, "") + text
    return Change(
        sets=tuple(changes.created),
        rules=rules,
        swept=sets,
        undone=tuple(changes.dropped),
        result=result,
    )


def _resolved(chains: Chains, family: int, names: Mapping[SetKey, str]) -> Chains:
    """Chains with the names that sets have in the kernel."""
    return {
        chain: tuple(_resolve(rule, family, chain, names) for rule in rules)
        for chain, rules in chains.items()
    }


def _resolve(rule: str, family: int, chain: str, names: Mapping[SetKey, str]) -> str:
    if "@" not in rule:
        return rule
    return CODE.sub(lambda found: names[SetKey(family, owner(chain), found[1])], rule)


def _renewed(key: SetKey, old: Tables, new: Tables) -> bool:
    """Whether a set that changes must not be changed in place."""
    if _own_chains(key, old) != _own_chains(key, new):
        return True
    left = old.users.get(key.owner, frozenset()) - new.users.get(key.owner, frozenset())
    if not left:
        return False
    return bool(left & new.interfaces) or _grows(key.owner, old, new)


def _own_chains(key: SetKey, tables: Tables) -> Chains:
    chains = tables.programs.get(key.owner)
    return chains[key.family] if chains else {}


def _grows(chain: str, old: Tables, new: Tables) -> bool:
    """Whether a program gets elements that it had not."""
    return any(
        key.owner == chain and not each.elements <= old.sets.get(key, each).elements
        for key, each in new.sets.items()
    )


class _SetChanges:
    """Collects the lines of `ipset restore`, with those that take them back."""

    def __init__(self) -> None:
        self.names: dict[SetKey, str] = {}
        self.created: list[str] = []
        self.added: list[str] = []
        self.deleted: list[str] = []
        self.restored: list[str] = []
        self.retracted: list[str] = []
        self.dropped: list[str] = []

    def create(self, key: SetKey, name: str, wanted: IpSet) -> None:
        """Make a set."""
        self.names[key] = name
        self.created += creation(name, wanted)
        self.dropped += destruction((name,))

    def edit(self, key: SetKey, name: str, old: IpSet, new: IpSet) -> None:
        """Change a set in place."""
        self.names[key] = name
        more, fewer = new.elements - old.elements, old.elements - new.elements
        self.added += additions(name, more)
        self.deleted += deletions(name, fewer)
        self.restored += additions(name, fewer)
        self.retracted += deletions(name, more)


def _rule_changes(old: Placed, new: Placed) -> Iterator[tuple[int, str]]:
    """The texts by family."""
    if old.tables.chains == new.tables.chains and old.names == new.names:
        return
    renamed = {
        (key.family, key.owner) for key, name in new.names.items() if old.names.get(key) != name
    }
    keys = sorted({*old.tables.chains, *new.tables.chains})
    for family in sorted({family for family, _ in keys}):
        text = ""
        for table in (table for at, table in keys if at == family):
            before = old.tables.chains.get((family, table), {})
            after = new.tables.chains.get((family, table), {})
            changed = {
                chain: rules
                for chain, rules in after.items()
                if before.get(chain) != rules or (family, owner(chain)) in renamed
            }
            gone = frozenset(before.keys() - after.keys())
            hooks: tuple[str, ...] = ()
            if not before or not after:
                hooks = tuple(_edges(table, add=not before))
            text += _text(table, _resolved(changed, family, new.names), gone, hooks)
        if text:
            yield family, text


def _edges(table: str, *, add: bool) -> Iterator[str]:
    for hook in HOOKS[table]:
        chain, _, rule = hook.partition(" ")
        yield f"-I {chain} 1 {rule}" if add else f"-D {hook}"


def _hooking(table: str, found: Found, *, wanted: bool) -> Iterator[str]:
    """The lines that bring each hook to where it must be, once."""
    for hook in HOOKS[table]:
        count = found.hooks.get(hook, 0)
        if wanted and count == 1 and hook in found.first:
            continue
        yield from (f"-D {hook}" for _ in range(count))
        if wanted:
            chain, _, rule = hook.partition(" ")
            yield f"-I {chain} 1 {rule}"


def _text(
    table: str,
    chains: Chains,
    gone: frozenset[str],
    hooks: tuple[str, ...],
    *,
    remove: bool = True,
) -> str:
    """One table's part of what `iptables-restore --noflush` reads; empty where nothing changes. A
    chain that is declared is empty from then on."""
    if not chains and not gone and not hooks:
        return ""
    lines = [f"*{table}"]
    lines += (f":{chain} - [0:0]" for chain in (*chains, *sorted(gone)))
    lines += (f"-A {chain} {rule}" for chain, rules in chains.items() for rule in rules)
    lines += hooks
    lines += (f"-X {chain}" for chain in sorted(gone) if remove)
    return "\n".join((*lines, "COMMIT", ""))
