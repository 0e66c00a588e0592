"""A transaction, carried out by a model of nftables' rules, leads from any table to any other."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romana.dataplane.ruleset import (
    EMPTY,
    Chain,
    Ruleset,
    Set,
    difference,
    removal,
    replacement,
)

TYPES = {"hash": ("ipv4_addr", False, False), "map": ("ipv4_addr", False, True)}
ADDRESSES = [f"10.0.0.{number}" for number in range(6)]
CHAINS = ["a", "b", "c"]


class Refused(Exception):
    """nftables would refuse this line, and with it the whole transaction."""


class Model:
    """A table in the kernel. Counts references as the kernel does."""

    def __init__(self):
        self.exists, self.chains, self.sets, self.counters = False, {}, {}, set()

    def commit(self, transaction):
        for line in transaction.splitlines():
            verb, kind, family, table, *rest = line.split(" ", 5)
            assert (family, table) == ("inet", "romana")
            getattr(self, f"{verb}_{kind}")(*rest)

    def add_table(self):
        self.exists = True

    def delete_table(self):
        self.require(self.exists, "no table")
        self.__init__()

    def add_counter(self, name):
        self.require(name not in self.counters, f"counter {name} is there")
        self.counters.add(name)

    def delete_counter(self, name):
        self.require(not self.users(f'"{name}"'), f"counter {name} is in use")
        self.counters.remove(name)

    def add_chain(self, name, hook=""):
        self.require(name not in self.chains, f"chain {name} is there")
        self.chains[name] = (hook.strip("{} "), [])

    def flush_chain(self, name):
        self.chains[name][1].clear()

    def delete_chain(self, name):
        self.require(not self.users(f"goto {name}"), f"chain {name} is in use")
        self.require(not self.chains[name][1], f"chain {name} has rules")
        del self.chains[name]

    def add_set(self, name, header):
        self.require(name not in self.sets, f"set {name} is there")
        self.sets[name] = (header.strip("{} "), {})

    add_map = add_set

    def delete_set(self, name):
        self.require(not self.users(f"@{name}"), f"set {name} is in use")
        del self.sets[name]

    delete_map = delete_set

    def add_element(self, name, elements):
        for key, verdict in self.split(elements):
            self.require(key not in self.sets[name][1], f"{key} is in {name}")
            self.require(self.target(verdict), f"no chain for {verdict}")
            self.sets[name][1][key] = verdict

    def delete_element(self, name, elements):
        for key, verdict in self.split(elements):
            self.require(self.sets[name][1].get(key) == verdict, f"{key} is not in {name}")
            del self.sets[name][1][key]

    def add_rule(self, chain, rule):
        self.require(self.target(rule), f"no chain for {rule}")
        for name in re.findall(r"@(\S+)", rule):
            self.require(name in self.sets, f"no set {name}")
        for name in re.findall(r'counter name "(\S+)"', rule):
            self.require(name in self.counters, f"no counter {name}")
        self.chains[chain][1].append(rule)

    def target(self, text):
        found = re.search(r"goto (\S+)", text)
        return found is None or found[1] in self.chains

    def users(self, text):
        rules = [rule for _, rules in self.chains.values() for rule in rules]
        verdicts = [each for _, elements in self.sets.values() for each in elements.values()]
        return [each for each in rules + verdicts if re.search(rf"{re.escape(text)}(\s|$)", each)]

    @staticmethod
    def split(elements):
        for each in elements.strip("{} ").split(", "):
            key, _, verdict = each.partition(" : ")
            yield key, verdict

    @staticmethod
    def require(condition, reason):
        if not condition:
            raise Refused(reason)

    def ruleset(self):
        sets = {}
        for name, (header, elements) in self.sets.items():
            kind = header.split(";")[0].removeprefix("type ").split(" : ")
            sets[name] = Set(
                type=kind[0],
                interval="flags interval" in header,
                verdicts=len(kind) > 1,
                elements=frozenset(
                    f"{key} : {verdict}" if verdict else key for key, verdict in elements.items()
                ),
            )
        chains = {
            name: Chain(hook=hook, rules=tuple(rules))
            for name, (hook, rules) in self.chains.items()
        }
        return Ruleset(sets=sets, chains=chains, counters=frozenset(self.counters))


@st.composite
def rulesets(draw):
    chains = draw(st.sets(st.sampled_from(CHAINS)))
    sets, counters = {}, draw(st.sets(st.sampled_from(["x", "y"])))
    for name in draw(st.sets(st.sampled_from(["hash", "map", "changing"]))):
        kind, _, verdicts = TYPES.get(name, ("ipv4_addr", False, False))
        interval = name == "changing" and draw(st.booleans())
        keys = draw(st.sets(st.sampled_from(ADDRESSES)))
        targets = ["accept", *(f"goto {chain}" for chain in sorted(chains))]
        elements = (
            f"{key} : {draw(st.sampled_from(targets))}" if verdicts else key for key in keys
        )
        sets[name] = Set(
            type=kind, interval=interval, verdicts=verdicts, elements=frozenset(elements)
        )
    texts = ["accept", *(f"jump to goto {chain}" for chain in sorted(chains))]
    texts += [f"ip saddr @{name} accept" for name in sorted(sets)]
    texts += [f'counter name "{name}" drop' for name in sorted(counters)]
    filled = {
        chain: Chain(
            rules=tuple(draw(st.lists(st.sampled_from(texts), max_size=3))),
            hook=draw(st.sampled_from(["", "type filter hook input priority 0;"]))
            if chain == "a"
            else "",
        )
        for chain in sorted(chains)
    }
    return Ruleset(sets=sets, chains=filled, counters=frozenset(counters))


@settings(deadline=None)
@given(rulesets(), rulesets())
def test_a_difference_leads_from_any_table_to_any_other(old, new):
    model = Model()
    model.commit(replacement(old))
    assert model.ruleset() == old
    model.commit(difference(old, new))
    assert model.ruleset() == new


@settings(deadline=None)
@given(rulesets(), rulesets())
def test_a_replacement_leads_anywhere_from_anything(old, new):
    model = Model()
    model.commit(replacement(old))
    model.commit(difference(None, new))
    assert model.ruleset() == new
    model.commit(removal())
    assert model.ruleset() == EMPTY


@settings(deadline=None)
@given(rulesets())
def test_nothing_to_change_is_no_transaction(ruleset):
    assert difference(ruleset, ruleset) == ""


CHAIN = Chain(rules=("accept",))
BEFORE = Ruleset(
    sets={"s": Set(type="ipv4_addr", elements=frozenset({"10.0.0.1"}))},
    chains={"c": CHAIN, "d": CHAIN},
    counters=frozenset({"n"}),
)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (
            Ruleset(
                sets={"s": Set(type="ipv4_addr", elements=frozenset({"10.0.0.2"}))},
                chains=BEFORE.chains,
                counters=BEFORE.counters,
            ),
            [
                "delete element inet romana s { 10.0.0.1 }",
                "add element inet romana s { 10.0.0.2 }",
            ],
        ),
        (
            Ruleset(
                sets=BEFORE.sets,
                chains={"c": Chain(rules=("drop",)), "d": CHAIN},
                counters=BEFORE.counters,
            ),
            ["flush chain inet romana c", "add rule inet romana c drop"],
        ),
        (
            Ruleset(chains={"c": CHAIN}),
            [
                "flush chain inet romana d",
                "delete set inet romana s",
                "delete chain inet romana d",
                "delete counter inet romana n",
            ],
        ),
    ],
    ids=["elements", "rules", "removal"],
)
def test_only_what_differs_is_touched(after, expected):
    assert difference(BEFORE, after).splitlines() == expected


def test_another_type_replaces_the_table():
    after = Ruleset(sets={"s": Set(type="ipv6_addr")}, chains=BEFORE.chains)
    assert difference(BEFORE, after).startswith("add table inet romana\ndelete table inet romana\n")
