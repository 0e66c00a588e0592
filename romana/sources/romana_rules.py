"""`rules` of a Romana policy: traffic by protocol and destination port."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from romana.objects import PortMatch, Protocol
from romana.sources.policies import MAX_PORT
from romana.sources.reading import Reading

_ICMP = "ICMP cannot be judged by type; admit it with `protocol: any`"
_KEYS = ("protocol", "ports", "port_ranges", "is_stateful")
_REFUSED = {"icmp_type": _ICMP, "icmp_code": _ICMP}
_PROTOCOLS = {each.value.lower(): each for each in Protocol}


def ports_of(reading: Reading, field: str, rules: object) -> tuple[PortMatch, ...] | None:
    """The ports of a list of rules; None is every port of every protocol."""
    matches: list[PortMatch] = []
    everything = False
    absent = "says no traffic; `- protocol: any` is all"
    for index, rule in enumerate(reading.items(field, rules, absent)):
        found = _rule(reading, f"{field}[{index}]", rule)
        everything = everything or found is None
        matches += found or ()
    return None if everything else tuple(matches)


def _rule(reading: Reading, field: str, value: object) -> tuple[PortMatch, ...] | None:
    """The ports of one rule. None is everything; a rule that is refused has none."""
    rule = reading.mapping(field, value, _KEYS, _REFUSED)
    if rule is None:
        return ()
    if rule.get("is_stateful") not in (None, True):
        reading.refuse(f"{field}.is_stateful", "every rule is stateful; leave it out")
    protocol = str(rule.get("protocol") or "").lower()
    chosen = [key for key in ("ports", "port_ranges") if rule.get(key) is not None]
    if protocol == "any":
        for key in filter(rule.get, chosen):
            reading.refuse(f"{field}.{key}", "a rule for every protocol cannot choose ports")
        return None
    if protocol not in _PROTOCOLS:
        said = _ICMP if protocol.startswith("icmp") else f"must be any, {', '.join(_PROTOCOLS)}"
        reading.refuse(f"{field}.protocol", said)
        return ()
    if not chosen:
        return (PortMatch(_PROTOCOLS[protocol]),)
    found = (
        *_ports(reading, f"{field}.ports", rule.get("ports"), _PROTOCOLS[protocol]),
        *_ranges(reading, f"{field}.port_ranges", rule.get("port_ranges"), _PROTOCOLS[protocol]),
    )
    if not any(rule[key] for key in chosen):
        reading.refuse(f"{field}.{chosen[0]}", "names no port; leave it out for every port")
    return found


def _ports(reading: Reading, field: str, value: object, protocol: Protocol) -> Iterator[PortMatch]:
    for index, port in enumerate(_list(reading, field, value)):
        if isinstance(port, str) and any(letter.isalpha() for letter in port):
            yield PortMatch(protocol, sys.intern(port))
        elif _is_port(port):
            yield PortMatch(protocol, port)
        else:
            wanted = f"must be a port's name or a number between 1 and {MAX_PORT}"
            reading.refuse(f"{field}[{index}]", wanted)


def _ranges(reading: Reading, field: str, value: object, protocol: Protocol) -> Iterator[PortMatch]:
    for index, ends in enumerate(_list(reading, field, value)):
        sound = isinstance(ends, list) and len(ends) == 2 and all(_is_port(each) for each in ends)
        if sound and ends[0] <= ends[1]:
            yield PortMatch(protocol, ends[0], ends[1])
        else:
            wanted = f"must be [low, high], both between 1 and {MAX_PORT}"
            reading.refuse(f"{field}[{index}]", wanted)


def _list(reading: Reading, field: str, value: object) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    reading.refuse(field, "must be a list")
    return []


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PORT
