"""Traffic and addresses in the words of operators."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from romana.policy.intervals import Intervals, subtract
from romana.policy.space import ANYTHING, LAST_ADDRESS, LAST_PORT, Region

PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
WITH_PORTS = (6, 17, 132)
PREFIXES = 4
"""Of how many prefixes a range of addresses is written; a longer one as its ends."""


def traffic_text(traffic: Intervals) -> str:
    """Traffic in words: `TCP 80 443`, `all`, `all but UDP 53`; `none` where there is none."""
    if not traffic:
        return "none"
    if traffic == ANYTHING:
        return "all"
    others = traffic[-1][1] == ANYTHING[0][1]
    if others:
        return "all but " + ", ".join(_parts(subtract(ANYTHING, traffic)))
    return ", ".join(_parts(traffic))


def region_text(region: Region, family: int) -> list[tuple[str, str]]:
    """Addresses with their traffic, each in words: as those that are left out, where these are
    fewer."""
    if len({traffic for _, _, traffic in region}) == 1:
        inside = tuple((low, high) for low, high, _ in region)
        gaps = subtract(((0, LAST_ADDRESS[family]),), inside)
        spared = [text for low, high in gaps for text in _addresses(low, high, family)]
        if 0 < len(spared) <= PREFIXES and len(inside) + len(spared) > 2:
            text = f"anywhere (IPv{family}) but {', '.join(spared)}"
            return [(text, traffic_text(region[0][2]))]
    return [
        (text, traffic_text(traffic))
        for low, high, traffic in region
        for text in _addresses(low, high, family)
    ]


def _addresses(low: int, high: int, family: int) -> list[str]:
    if (low, high) == (0, LAST_ADDRESS[family]):
        return [f"anywhere (IPv{family})"]
    make = IPv4Address if family == 4 else IPv6Address
    first, last = make(low), make(high)
    found: list[str] = []
    for network in summarize_address_range(first, last):
        found.append(str(network).removesuffix(f"/{first.max_prefixlen}"))
        if len(found) > PREFIXES:
            return [f"{first}-{last}"]
    return found


def _parts(traffic: Intervals) -> Iterator[str]:
    """Protocol by protocol, with its ports."""
    ports: dict[int, list[str]] = {}
    for low, high in traffic:
        for protocol in range(low >> 16, (high >> 16) + 1):
            first = low & LAST_PORT if protocol == low >> 16 else 0
            last = high & LAST_PORT if protocol == high >> 16 else LAST_PORT
            text = str(first) if first == last else f"{first}-{last}"
            whole = (first, last) == (0, LAST_PORT)
            ports.setdefault(protocol, []).append("" if whole else text)
    for protocol, texts in ports.items():
        name = PROTOCOLS.get(protocol, f"protocol {protocol}")
        yield f"{name} {' '.join(texts)}".rstrip()
