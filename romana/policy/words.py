"""Traffic and addresses in the words of operators."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from romana.policy.intervals import Intervals, subtract
from romana.policy.space import ANYTHING, LAST_ADDRESS, LAST_PORT, Region

PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
WITH_PORTS = (6, 17, 132)


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
    """Addresses with their traffic, each in words: as those that are left out, where that is
    shorter."""
    texts = [
        (_addresses(low, high, family), traffic_text(traffic)) for low, high, traffic in region
    ]
    if len({traffic for _, _, traffic in region}) == 1:
        inside = tuple((low, high) for low, high, _ in region)
        gaps = subtract(((0, LAST_ADDRESS[family]),), inside)
        if gaps and len(gaps) < len(inside):
            spared = ", ".join(_addresses(low, high, family) for low, high in gaps)
            return [(f"anywhere (IPv{family}) but {spared}", texts[0][1])]
    return texts


def _addresses(low: int, high: int, family: int) -> str:
    if (low, high) == (0, LAST_ADDRESS[family]):
        return f"anywhere (IPv{family})"
    make = IPv4Address if family == 4 else IPv6Address
    first, last = make(low), make(high)
    networks = list(summarize_address_range(first, last))
    if len(networks) > 1:
        return f"{first}-{last}"
    return str(networks[0]).removesuffix(f"/{first.max_prefixlen}")


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
