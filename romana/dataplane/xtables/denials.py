"""Denied packets are counted for each endpoint, and told of where that is switched on: in the
chains that deny, as in nftables' table (`dataplane/denials.py`). Pure.

Sets `denied` and `logged` of each chain hold the addresses of the host's pods with their interfaces
(hash:net,iface; its elements count since ipset 6.19 and Linux 3.10). A rule that has no target only
looks up, and what is found counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from romana.dataplane.denials import BURST, PREFIX, RATE, DenialLog
from romana.dataplane.programs import FAMILIES
from romana.dataplane.xtables.programs import DENY
from romana.dataplane.xtables.sets import IpSet, SetKey
from romana.policy.admission import Direction, Endpoint

TYPE = "hash:net,iface"
DENIED, LOGGED = "denied", "logged"
OWN = {Direction.INGRESS: "dst,dst", Direction.EGRESS: "src,src"}
"""The pod's own address and interface."""


def denial_sets(
    endpoints: Iterable[Endpoint], log: DenialLog | None
) -> Iterator[tuple[SetKey, IpSet]]:
    """The sets that the chains which deny look up; none that would be empty.

    Args:
        endpoints: this host's.
        log: None where nothing is to be told.
    """
    endpoints = tuple(endpoints)
    for family in FAMILIES:
        counting = IpSet(
            type=TYPE, family=family, counted=True, elements=frozenset(_keys(endpoints, family))
        )
        covered = (each for each in endpoints if log and log.covers(each))
        logged = IpSet(type=TYPE, family=family, elements=frozenset(_keys(covered, family)))
        for chain in DENY.values():
            for code, content in ((DENIED, counting), (LOGGED, logged)):
                if content.elements:
                    yield SetKey(family, chain, code), content


def denial_chains(
    family: int, sets: Mapping[SetKey, IpSet], log: DenialLog | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The chains that deny.

    Args:
        family: of addresses.
        sets: those that there are.
        log: None where nothing is to be told.
    """
    for direction, chain in DENY.items():
        rules = []
        own = OWN[direction]
        if SetKey(family, chain, DENIED) in sets:
            rules.append(f"-m set --match-set @{DENIED} {own}")
        if log and SetKey(family, chain, LOGGED) in sets:
            limit = f"-m limit --limit {RATE}/sec --limit-burst {BURST}"
            target = f"-j NFLOG --nflog-prefix {PREFIX[direction]} --nflog-group {log.group}"
            rules.append(f"-m set --match-set @{LOGGED} {own} {limit} {target}")
        yield chain, (*rules, "-j DROP")


def denied_packets(sets: Iterable[IpSet]) -> Mapping[str, int]:
    """Packets by interface that counting sets of one direction have counted."""
    found: dict[str, int] = {}
    for each in sets:
        for element, packets in each.packets.items():
            interface = element.partition(",")[2]
            found[interface] = found.get(interface, 0) + packets
    return found


def _keys(endpoints: Iterable[Endpoint], family: int) -> Iterator[str]:
    for each in endpoints:
        for address in each.addresses:
            if address.version == family:
                yield f"{address},{each.interface}"
