"""Finds the program of a packet's endpoint: a tree of chains over the bits of addresses. Pure.

iptables has no map from an endpoint to a chain; a rule for each pod would make the cost of a new
connection grow with their number. So the addresses of this host's pods are the leaves of a prefix
tree: each chain chooses among at most four, by the next two bits in which its addresses differ, and
at its ends are the rules of at most `LEAF` addresses. With 110 pods in one block of 128 addresses a
packet meets at most 12 rules of the tree and 4 addresses' own. The rules of an address name its
interface too, so that an address that is not the interface's own is found by none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b

from romana.dataplane.programs import address_text
from romana.dataplane.xtables.programs import program_chain
from romana.dataplane.xtables.sets import BITS, PREFIX
from romana.policy.admission import Direction, EndpointPrograms

LEAF = 4
STEP_BITS = 2
UNKNOWN = f"-g {PREFIX}UNKNOWN"
ROOT = {Direction.EGRESS: f"{PREFIX}FROM-POD", Direction.INGRESS: f"{PREFIX}TO-POD"}
_BRANCH = {Direction.EGRESS: f"{PREFIX}F-", Direction.INGRESS: f"{PREFIX}T-"}
_ADDRESS = {Direction.EGRESS: "-s", Direction.INGRESS: "-d"}

Leaves = Mapping[int, Sequence[str]]
"""The rules of each address."""


def dispatch_chains(
    family: int,
    direction: Direction,
    endpoints: Iterable[EndpointPrograms],
    first: tuple[str, ...],
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The chains that find the program of a packet, in one direction.

    Args:
        family: of the addresses.
        direction: egress goes by where a packet comes from, ingress by where it goes.
        endpoints: this host's.
        first: rules before the tree.
    """
    leaves: defaultdict[int, list[str]] = defaultdict(list)
    for each in sorted(endpoints, key=lambda each: each.endpoint.interface):
        for address in each.endpoint.addresses:
            if address.version == family:
                leaves[int(address)] += _leaf(direction, each, f"{address}/{BITS[family]}")
    tree = _Tree(family, direction)
    yield ROOT[direction], (*first, *tree.rules(dict(sorted(leaves.items()))), UNKNOWN)
    yield from tree.chains.items()


def _leaf(direction: Direction, programs: EndpointPrograms, address: str) -> Iterator[str]:
    interface = programs.endpoint.interface
    if direction is Direction.INGRESS:
        yield f"-d {address} -o {interface} {_verdict(direction, programs.ingress, '-j ACCEPT')}"
    else:
        yield f"-s {address} -d {address} -i {interface} -j ACCEPT"
        yield f"-s {address} -i {interface} {_verdict(direction, programs.egress, '-j RETURN')}"


def _verdict(direction: Direction, program: str | None, otherwise: str) -> str:
    return otherwise if program is None else f"-g {program_chain(direction, program)}"


class _Tree:
    def __init__(self, family: int, direction: Direction) -> None:
        self._family = family
        self._direction = direction
        self.chains: dict[str, tuple[str, ...]] = {}

    def rules(self, leaves: Leaves) -> tuple[str, ...]:
        """Of the chain that has these addresses left, in order."""
        if len(leaves) <= LEAF:
            return tuple(rule for rules in leaves.values() for rule in rules)
        bits = BITS[self._family]
        common = bits - (min(leaves) ^ max(leaves)).bit_length()
        rest = bits - min(common + STEP_BITS, bits)
        groups: defaultdict[int, dict[int, Sequence[str]]] = defaultdict(dict)
        for address, rules in leaves.items():
            groups[address >> rest][address] = rules
        found: list[str] = []
        for start, group in groups.items():
            if len(group) == 1:
                found += next(iter(group.values()))
                continue
            network = f"{address_text(self._family, start << rest)}/{bits - rest}"
            name = self._name(network)
            self.chains[name] = (*self.rules(group), UNKNOWN)
            found.append(f"{_ADDRESS[self._direction]} {network} -g {name}")
        return tuple(found)

    def _name(self, network: str) -> str:
        if self._family == 6:  # too long for a chain's name
            network = blake2b(network.encode(), digest_size=8).hexdigest()
        return _BRANCH[self._direction] + network
