"""A program's grants as sets, and the chain that looks them up. Pure.

A grant goes to one of five sets of its family, by what it names:
  hosts          one address, every protocol                   hash
  networks       more, or one protocol without its ports       interval
  host-ports     one address and one port                      hash
  host-ranges    one address and more ports                    interval
  network-ports  more addresses and their ports                interval
Sets that would be empty do not exist, and are not looked up. Elements of one interval set never
overlap, which nft would refuse: grants of hosts are disjoint, and those of networks are, but a
host's range of ports may overlap a network's, so they are apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv6Address
from types import MappingProxyType

from romana.dataplane.ruleset import Chain, Set
from romana.policy.admission import ANY_PROTOCOL, Direction, Grant, Program

ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}
HEADER = {4: "ip", 6: "ip6"}
FAMILIES = (4, 6)
LAST_PORT = 65535

_PREFIX = {Direction.INGRESS: "in", Direction.EGRESS: "eg"}
_DIRECTION = {prefix: direction for direction, prefix in _PREFIX.items()}
_PEER = {Direction.INGRESS: "saddr", Direction.EGRESS: "daddr"}
_ADMIT = {Direction.INGRESS: "accept", Direction.EGRESS: "return"}
_DENY = {Direction.INGRESS: "deny-ingress", Direction.EGRESS: "deny-egress"}
_KINDS = {
    "hosts": ("", False),
    "networks": (" . meta l4proto", True),
    "host-ports": (" . meta l4proto . th dport", False),
    "host-ranges": (" . meta l4proto . th dport", True),
    "network-ports": (" . meta l4proto . th dport", True),
}
_FIELD_TYPES = {
    "": "",
    " . meta l4proto": " . inet_proto",
    " . meta l4proto . th dport": " . inet_proto . inet_service",
}
_CHAINS = tuple(f"{each}-" for each in _PREFIX.values())
_OWNED = re.compile(rf"((?:{'|'.join(_CHAINS)}).+?)-(?:{'|'.join(_KINDS)})[46]")


def program_chain(direction: Direction, name: str) -> str:
    """The name of a program's chain; the names of its sets begin with it."""
    return f"{_PREFIX[direction]}-{name}"


def is_program(chain: str) -> bool:
    """Whether a chain is a program's."""
    return chain.startswith(_CHAINS)


def program_of(name: str) -> str:
    """The chain of the program that a set belongs to; empty where it is no program's."""
    found = _OWNED.fullmatch(name)
    return found[1] if found else ""


def program_sets(
    program: Program, old: Program | None = None, known: Mapping[str, Set] = MappingProxyType({})
) -> dict[str, Set]:
    """The sets of a program, by name; only those that have elements.

    Args:
        program: to render.
        old: what it was before, if that is known.
        known: its sets then; those that do not change are returned as they are.
    """
    before = old.grants if old else frozenset()
    gone, new = _elements(before - program.grants), _elements(program.grants - before)
    chain = program_chain(program.direction, program.name)
    sets: dict[str, Set] = {}
    for kind, (fields, interval) in _KINDS.items():
        for family in FAMILIES:
            name, key = f"{chain}-{kind}{family}", (kind, family)
            found = known.get(name)
            if found is None or key in gone or key in new:
                elements = found.elements if found else frozenset()
                found = Set(
                    type=f"{ADDRESS_TYPE[family]}{_FIELD_TYPES[fields]}",
                    interval=interval,
                    elements=(elements - gone.get(key, set())) | new.get(key, set()),
                )
            if found.elements:
                sets[name] = found
    return sets


def program_rules(chain: str, sets: Collection[str]) -> Chain:
    """The chain that looks up a program's sets. Its rules count: only the first packets of
    connections come here, so that costs next to nothing; each of many elements does not.

    Args:
        chain: its name.
        sets: the names of the sets that there are, of other programs too.
    """
    return Chain(rules=tuple(_rules(chain, sets)))


def address_text(family: int, number: int) -> str:
    """An address in its canonical text."""
    if family == 4:
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return str(IPv6Address(number))


def range_text(low: str, high: str) -> str:
    """A range in its canonical text: one value, or both ends."""
    return low if low == high else f"{low}-{high}"


def merged_ranges(family: int, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    """Address ranges (both ends included) as the fewest disjoint ones: nft refuses ranges that
    overlap."""
    last: tuple[int, int] | None = None
    for low, high in sorted(spans):
        if last is not None and low <= last[1] + 1:
            last = (last[0], max(last[1], high))
            continue
        if last is not None:
            yield _addresses(family, *last)
        last = (low, high)
    if last is not None:
        yield _addresses(family, *last)


def _rules(chain: str, sets: Collection[str]) -> Iterator[str]:
    direction = _DIRECTION[chain.partition("-")[0]]
    peer, admit = _PEER[direction], _ADMIT[direction]
    for kind, (fields, _) in _KINDS.items():
        for family in FAMILIES:
            name = f"{chain}-{kind}{family}"
            if name in sets:
                yield f"{HEADER[family]} {peer}{fields} @{name} counter {admit}"
    yield f"counter goto {_DENY[direction]}"


def _elements(grants: Iterable[Grant]) -> dict[tuple[str, int], set[str]]:
    """Elements by the kind and family of their set."""
    found: dict[tuple[str, int], set[str]] = {}
    for grant in grants:
        kind, text = _element(grant)
        found.setdefault((kind, grant.family), set()).add(text)
    return found


def _element(grant: Grant) -> tuple[str, str]:
    """The kind of set that a grant belongs to, and its element there."""
    peers = _addresses(grant.family, grant.low, grant.high)
    if grant.protocol == ANY_PROTOCOL:
        return ("hosts", peers) if grant.low == grant.high else ("networks", f"{peers} . 0-255")
    if (grant.port_low, grant.port_high) == (0, LAST_PORT):
        return "networks", f"{peers} . {grant.protocol}"
    ports = range_text(str(grant.port_low), str(grant.port_high))
    kind = "network-ports"
    if grant.low == grant.high:
        kind = "host-ports" if grant.port_low == grant.port_high else "host-ranges"
    return kind, f"{peers} . {grant.protocol} . {ports}"


def _addresses(family: int, low: int, high: int) -> str:
    text = address_text(family, low)
    return text if low == high else f"{text}-{address_text(family, high)}"
