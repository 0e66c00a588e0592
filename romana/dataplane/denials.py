"""What becomes of denied packets besides their end: each local endpoint counts its own, and, where
that is switched on, the kernel tells of some of them. Pure; this is nftables' part.

Both are asked for in the chains that deny, so other packets pay nothing for them. Elements of the
counting sets stay as long as their endpoint does: no change of policy begins them anew. They name
the interface besides the address, so that a pod that gets the address of another one does not
inherit its count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from romana.dataplane.programs import ADDRESS_TYPE, FAMILIES, HEADER, address_text
from romana.dataplane.ruleset import Chain, Set
from romana.policy.admission import Direction, Endpoint

DENIED_INGRESS = "denied-ingress"
DENIED_EGRESS = "denied-egress"
DENIED = {Direction.INGRESS: DENIED_INGRESS, Direction.EGRESS: DENIED_EGRESS}
"""Names of the host's counters; those of the counting sets begin so."""
DENY = {Direction.INGRESS: "deny-ingress", Direction.EGRESS: "deny-egress"}
"""Names of the chains that deny."""

GROUP = 82
"""Of netfilter's log, where the kernel tells of denied packets."""
PREFIX = {Direction.INGRESS: "romana-ingress", Direction.EGRESS: "romana-egress"}
"""What it tells with each of them."""
RATE, BURST = 20, 40
"""How many it tells at most in a second, and at once, in each direction and address family."""
BYTES = 128
"""Of a packet: both headers, with room for extension headers of IPv6."""

_OWN = {Direction.INGRESS: ("oifname", "daddr"), Direction.EGRESS: ("iifname", "saddr")}


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialLog:
    """That the kernel is to tell of denied packets.

    Args:
        namespaces: whose pods' only; empty for all.
        group: of netfilter's log.
    """

    namespaces: frozenset[str] = frozenset()
    group: int = GROUP

    def covers(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint's packets are told of."""
        return not self.namespaces or endpoint.pod[0] in self.namespaces


def denied_set(direction: Direction, family: int) -> str:
    """The name of the set that counts an address family's denied packets."""
    return f"{DENIED[direction]}{family}"


def denial_sets(endpoints: Iterable[Endpoint], log: DenialLog | None) -> Iterator[tuple[str, Set]]:
    """The sets that the chains which deny look up.

    Args:
        endpoints: this host's.
        log: None where nothing is to be told.
    """
    endpoints = tuple(endpoints)
    for family in FAMILIES:
        kind = f"ifname . {ADDRESS_TYPE[family]}"
        counting = Set(type=kind, counted=True, elements=frozenset(_keys(endpoints, family)))
        for direction in Direction:
            yield denied_set(direction, family), counting
        if log:
            covered = (each for each in endpoints if log.covers(each))
            yield f"logged{family}", Set(type=kind, elements=frozenset(_keys(covered, family)))


def denial_chains(log: DenialLog | None) -> Iterator[tuple[str, Chain]]:
    """The chains that deny."""
    for direction in Direction:
        yield DENY[direction], Chain(rules=tuple(_rules(direction, log)))


def _rules(direction: Direction, log: DenialLog | None) -> Iterator[str]:
    interface, address = _OWN[direction]
    for family in FAMILIES:
        own = f"{interface} . {HEADER[family]} {address}"
        yield f"{own} @{denied_set(direction, family)}"
        if log:
            limit = f"limit rate {RATE}/second burst {BURST} packets"
            target = f'log prefix "{PREFIX[direction]}" group {log.group} snaplen {BYTES}'
            yield f"{own} @logged{family} {limit} {target}"
    yield f'counter name "{DENIED[direction]}" drop'


def _keys(endpoints: Iterable[Endpoint], family: int) -> Iterator[str]:
    for each in endpoints:
        for address in each.addresses:
            if address.version == family:
                yield f'"{each.interface}" . {address_text(family, int(address))}'
