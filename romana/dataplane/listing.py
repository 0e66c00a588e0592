"""Our table as nft prints it (`nft -j -n list table`, or the echo of a transaction), and what in it
differs from what is wanted. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_network
from typing import Any

import msgspec

from romana.dataplane.programs import address_text, is_program, program_rules, range_text
from romana.dataplane.ruleset import Ruleset, Set

SHOWN = 5
"""How many missing or foreign parts of one thing a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The table as it was printed: its sets with elements in canonical texts, and the rules of each
    chain (the base chain's hook is the first) as canonical JSON, which is comparable only with what
    the same nft printed. `flagged`: the table bears a flag, which may put it out of force
    (`dormant`)."""

    flagged: bool = False
    sets: Mapping[str, Set] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One set, chain or counter that is not as wanted.

    Args:
        kind: `table`, `set`, `chain` or `counter`.
        name: its name.
        missing: what the kernel lacks: elements or rules; "" for the thing itself.
        extra: what it should not hold.
    """

    kind: str
    name: str
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In one line."""
        parts = []
        for word, items in (("missing", self.missing), ("foreign", self.extra)):
            if items:
                more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
                parts.append(f"{word} {', '.join(items[:SHOWN])}{more}".rstrip())
        return f"{self.kind} {self.name}: {'; '.join(parts)}"


def compare(wanted: Ruleset, printed: Listing, found: Listing | None) -> tuple[Difference, ...]:
    """What differs between a table and the kernel's.

    Args:
        wanted: the table; its elements are compared.
        printed: the same table as this nft prints it; its rules are compared.
        found: what the kernel holds; None where it holds no such table.
    """
    if found is None:
        return (Difference(kind="table", name="romana", missing=("",)),)
    if found.flagged:
        return (Difference(kind="table", name="romana", extra=("flag",)),)
    return (
        *_presence("counter", wanted.counters, found.counters),
        *_presence("set", wanted.sets.keys(), found.sets.keys()),
        *_presence("chain", printed.chains.keys(), found.chains.keys()),
        *_elements(wanted, found),
        *_rules(wanted, printed, found),
    )


def presumed(found: Listing, wanted: Ruleset) -> Ruleset:
    """The table that the kernel holds, if an agent like this one has made it, with other pods and
    policies: to be compared with what was found.

    Args:
        found: what the kernel holds.
        wanted: what it is to hold: what belongs to no program is the same in both.
    """
    sets = {
        name: replace(wanted.sets[name], elements=each.elements) if name in wanted.sets else each
        for name, each in found.sets.items()
    }
    fixed = {name: each for name, each in wanted.chains.items() if not is_program(name)}
    programs = {name: program_rules(name, sets) for name in found.chains if is_program(name)}
    return Ruleset(sets=sets, chains={**fixed, **programs}, counters=wanted.counters)


def parse_listing(output: str) -> Listing:
    """Read nft's JSON.

    Args:
        output: of `list`, or of a transaction with `--echo`.
    """
    sets: dict[str, Set] = {}
    chains: dict[str, list[str]] = {}
    counters: set[str] = set()
    flagged = False
    for entry in _entries(output):
        body = entry.get("add", entry)
        if "chain" in body:
            hook = {key: value for key, value in body["chain"].items() if key not in _IDENTITY}
            chains[body["chain"]["name"]] = [_canonical(hook)] if hook else []
        elif "rule" in body:
            chains[body["rule"]["chain"]].append(_canonical(_uncounted(body["rule"]["expr"])))
        elif "counter" in body:
            counters.add(body["counter"]["name"])
        elif "set" in body or "map" in body:
            each = body.get("set") or body["map"]
            sets[each["name"]] = _set(each)
        elif "table" in body:
            flagged = "flags" in body["table"]
    return Listing(
        flagged=flagged,
        sets=sets,
        chains={name: tuple(rules) for name, rules in chains.items()},
        counters=frozenset(counters),
    )


def _entries(output: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = msgspec.json.decode(output)["nftables"]
    except msgspec.DecodeError:
        # nft 1.0.6 stumbles over the flags of a table, and prints nothing legible behind them.
        return [{"table": {"flags": []}}]
    return found


def parse_counters(output: str) -> Mapping[str, int]:
    """Read the JSON of `nft -j list counters`: packets by name."""
    entries = json.loads(output)["nftables"]
    return {
        entry["counter"]["name"]: int(entry["counter"]["packets"])
        for entry in entries
        if "counter" in entry
    }


_IDENTITY = frozenset(("family", "table", "name", "handle"))
_OWN_TYPES = frozenset(("ifname", "ipv4_addr", "ipv6_addr", "inet_proto", "inet_service"))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _uncounted(statements: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A rule's statements without what they have counted."""
    return [
        {"counter": None} if isinstance(each.get("counter"), dict) else each for each in statements
    ]


def _several(value: Any) -> Sequence[Any]:
    """nft writes a list of one as its only item, here and there."""
    return [value] if isinstance(value, (str, dict)) else value


def _set(body: Mapping[str, Any]) -> Set:
    types = _several(body["type"])
    verdicts = body.get("map") == "verdict"
    # What is not of our kinds is somebody else's: that it is there is what matters.
    own = all(each in _OWN_TYPES for each in types) and body.get("map") in (None, "verdict")
    elements = body.get("elem", ())
    return Set(
        type=" . ".join(types) if own else _canonical(body["type"]),
        interval="interval" in body.get("flags", ()),
        verdicts=verdicts,
        elements=frozenset(
            _element(each, types, verdicts) if own else _canonical(each) for each in elements
        ),
    )


def _element(value: Any, types: Sequence[str], verdicts: bool) -> str:
    if verdicts:
        key, verdict = value
        ((word, body),) = verdict.items()
        target = f" {body['target']}" if body else ""
        return f"{_element(key, types, False)} : {word}{target}"
    if isinstance(value, dict) and "elem" in value:
        value = value["elem"]["val"]
    parts = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
    return " . ".join(_part(part, kind) for part, kind in zip(parts, types, strict=True))


def _part(value: Any, kind: str) -> str:
    if kind == "ifname":
        return f'"{value}"'
    if isinstance(value, str):
        return value if kind == "ipv4_addr" else address_text(6, int(IPv6Address(value)))
    if isinstance(value, int):
        return str(value)
    if "prefix" in value:
        network = ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}")
        low, high = int(network.network_address), int(network.broadcast_address)
        return range_text(*(address_text(network.version, end) for end in (low, high)))
    return range_text(*(_part(end, kind) for end in value["range"]))


def _presence(kind: str, wanted: Collection[str], found: Collection[str]) -> Iterator[Difference]:
    for name in sorted(set(wanted) - set(found)):
        yield Difference(kind=kind, name=name, missing=("",))
    for name in sorted(set(found) - set(wanted)):
        yield Difference(kind=kind, name=name, extra=("",))


def _elements(wanted: Ruleset, found: Listing) -> Iterator[Difference]:
    for name in wanted.sets.keys() & found.sets.keys():
        want, have = wanted.sets[name], found.sets[name]
        if want.header != have.header:
            yield Difference(kind="set", name=name, missing=(want.header,), extra=(have.header,))
        elif want.elements != have.elements:
            yield Difference(
                kind="set",
                name=name,
                missing=tuple(sorted(want.elements - have.elements)),
                extra=tuple(sorted(have.elements - want.elements)),
            )


def _rules(wanted: Ruleset, printed: Listing, found: Listing) -> Iterator[Difference]:
    for name in printed.chains.keys() & found.chains.keys():
        want, have = printed.chains[name], found.chains[name]
        if want != have:
            texts = (wanted.chains[name].hook, *wanted.chains[name].rules)
            names = dict(zip(want, filter(None, texts), strict=True))
            missing = tuple(names[rule] for rule in want if rule not in have)
            extra = tuple(rule for rule in have if rule not in want)
            if not missing and not extra:
                extra = ("another order of its rules",)
            yield Difference(kind="chain", name=name, missing=missing, extra=extra)
