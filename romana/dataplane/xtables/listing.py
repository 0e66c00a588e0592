"""Our chains and sets as iptables and ipset print them, and what in them differs from what is
wanted. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from romana.dataplane.listing import Difference
from romana.dataplane.xtables.change import Found
from romana.dataplane.xtables.programs import Chains, owner
from romana.dataplane.xtables.sets import PREFIX, IpSet, SetKey, set_code
from romana.dataplane.xtables.tables import COUNTERS, HOOKS, Tables

SET_NAME = re.compile(rf"(?<=--match-set )({PREFIX}\S+)")
COUNTED_RULE = re.compile(r"\[(\d+):\d+\] (-A (\S+) (.*))")


Packets = Mapping[str, tuple[int, ...]]
"""What the rules of chains have counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableListing:
    """What one table of one family holds of ours: rules by chain, with the sets' names in the
    kernel, what each has counted, and the hooks."""

    chains: Chains = field(default_factory=dict)
    packets: Packets = field(default_factory=dict)
    hooks: Mapping[str, int] = field(default_factory=dict)
    first: frozenset[str] = frozenset()

    @property
    def found(self) -> Found:
        """As far as a replacement must know it."""
        return Found(chains=frozenset(self.chains), hooks=self.hooks, first=self.first)

    def coded(self) -> Chains:
        """The rules with the sets' codes, which are the same whatever the names."""
        return {
            chain: tuple(
                SET_NAME.sub(lambda found: f"@{set_code(found[1])}", each) for each in rules
            )
            for chain, rules in self.chains.items()
        }

    def lookups(self, family: int) -> Iterator[tuple[SetKey, str]]:
        """Which sets are looked up, and their names."""
        for chain, rules in self.chains.items():
            for rule in rules:
                for name in SET_NAME.findall(rule):
                    yield SetKey(family, owner(chain), set_code(name)), name


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All that is ours in the kernel. Names of sets are left out: two of equal listings judge every
    packet alike.

    Args:
        chains: by family and table; `@CODE` stands for a set.
        hooks: the rules that lead to them, where they must be.
        sets: those that are looked up.
        strays: names of sets that are not.
        packets: what the rules have counted, by family and table.
    """

    chains: Mapping[tuple[int, str], Chains]
    hooks: Mapping[tuple[int, str], frozenset[str]]
    sets: Mapping[SetKey, IpSet]
    strays: frozenset[str] = frozenset()
    packets: Mapping[tuple[int, str], Packets] = field(default_factory=dict)


def parse_save(output: str, table: str) -> TableListing:
    """Read the output of `iptables-save` (with `-c` or without), or of `iptables -S`. What does not
    bear our prefix is passed over."""
    chains: dict[str, list[str]] = {}
    packets: defaultdict[str, list[int]] = defaultdict(list)
    hooks: dict[str, int] = {}
    first: dict[str, str] = {}
    for line in output.splitlines():
        counted = COUNTED_RULE.fullmatch(line)
        line = counted[2] if counted else line
        words = line.split(" ", 2)
        if line.startswith(f":{PREFIX}"):
            chains.setdefault(words[0][1:], [])
        elif words[0] == "-N" and words[1].startswith(PREFIX):
            chains.setdefault(words[1], [])
        elif words[0] == "-A" and words[1].startswith(PREFIX):
            chains.setdefault(words[1], []).append(words[2])
            packets[words[1]].append(int(counted[1]) if counted else 0)
        elif words[0] == "-A":
            text = line.removeprefix("-A ")
            first.setdefault(words[1], text)
            if text in HOOKS[table]:
                hooks[text] = hooks.get(text, 0) + 1
    return TableListing(
        chains={chain: tuple(rules) for chain, rules in chains.items()},
        packets={chain: tuple(counts) for chain, counts in packets.items()},
        hooks=hooks,
        first=frozenset(hooks) & frozenset(first.values()),
    )


def parse_counters(output: str) -> Mapping[str, int]:
    """Read the output of `iptables-save -c`: dropped packets by the counter's name."""
    found = dict.fromkeys(COUNTERS.values(), 0)
    for line in output.splitlines():
        rule = COUNTED_RULE.fullmatch(line)
        if rule and rule[3] in COUNTERS and rule[4] == "-j DROP":
            found[COUNTERS[rule[3]]] += int(rule[1])
    return found


def listing(tables: Mapping[tuple[int, str], TableListing], sets: Mapping[str, IpSet]) -> Listing:
    """Put rules and sets together.

    Args:
        tables: by family and table.
        sets: ours, by their names in the kernel.
    """
    used = {
        key: name
        for (family, _), table in tables.items()
        for key, name in table.lookups(family)
        if name in sets
    }
    return Listing(
        chains={key: table.coded() for key, table in tables.items()},
        hooks={
            key: frozenset(hook for hook in table.first if table.hooks[hook] == 1)
            for key, table in tables.items()
        },
        sets={key: sets[name] for key, name in used.items()},
        strays=frozenset(sets.keys() - set(used.values())),
        packets={key: table.packets for key, table in tables.items()},
    )


def compare(
    wanted: Tables, printed: Mapping[tuple[int, str], Chains], found: Listing
) -> tuple[Difference, ...]:
    """What differs between tables and the kernel's.

    Args:
        wanted: the tables; their elements are compared.
        printed: their rules as this iptables prints them, by family and table.
        found: what the kernel holds.
    """
    return (*_rules(printed, found), *_sets(wanted, found, {family for family, _ in printed}))


def _rules(printed: Mapping[tuple[int, str], Chains], found: Listing) -> Iterator[Difference]:
    for (family, table), chains in printed.items():
        there = found.chains.get((family, table), {})
        where = f"{table} of IPv{family}"
        hooks = frozenset(HOOKS[table]) if chains else frozenset()
        for hook in sorted(hooks - found.hooks.get((family, table), frozenset())):
            yield Difference(kind="first rule", name=f"of {where}", missing=(hook,))
        for chain in sorted(chains.keys() | there.keys()):
            want, have = chains.get(chain), there.get(chain)
            if want == have:
                continue
            missing, extra = _chain(want, have)
            name = f"{chain} in {where}"
            yield Difference(kind="chain", name=name, missing=missing, extra=extra)


def _chain(
    want: tuple[str, ...] | None, have: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rules that a chain lacks, and those it should not hold."""
    if have is None:
        return ("",), ()
    if want is None:
        return (), ("",)
    missing = tuple(rule for rule in want if rule not in have)
    extra = tuple(rule for rule in have if rule not in want)
    if not missing and not extra:
        extra = ("another order of its rules",)
    return missing, extra


def _sets(wanted: Tables, found: Listing, families: set[int]) -> Iterator[Difference]:
    for name in sorted(found.strays):
        yield Difference(kind="set", name=name, extra=("",))
    for key, want in wanted.sets.items():
        have = found.sets.get(key)
        name = f"{key.code} of {key.owner} for IPv{key.family}"
        if key.family not in families or have == want:
            continue
        if have is None:
            yield Difference(kind="set", name=name, missing=("",))
        elif have.header != want.header:
            yield Difference(kind="set", name=name, missing=(want.header,), extra=(have.header,))
        else:
            yield Difference(
                kind="set",
                name=name,
                missing=tuple(sorted(want.elements - have.elements)),
                extra=tuple(sorted(have.elements - want.elements)),
            )
