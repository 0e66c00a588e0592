"""Reads nft's JSON (`nft -j -n list table`) as a table that can be interpreted. What is not
understood is no rule to pass over: it is an UnknownForm.

https://manpages.debian.org/libnftables-json(5)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import msgspec

from romana.policy.intervals import Interval, Intervals, union
from romana.policy.space import ANYTHING, traffic
from romana.verify.forms import (
    ADDRESSES,
    INTERFACES,
    Chain,
    Decision,
    Element,
    Field,
    Lookup,
    Match,
    NameMatch,
    NumberMatch,
    Rule,
    Table,
    UnknownForm,
    Verdict,
)

Values = Mapping[str, Any]

TCP, UDP, SCTP, DCCP, UDPLITE, ICMPV6 = 6, 17, 132, 33, 136, 58
WITH_PORTS = (TCP, UDP, SCTP, DCCP, UDPLITE)
FAMILY_NUMBERS = {2: 4, 10: 6, "ipv4": 4, "ipv6": 6}

_TYPES: Mapping[str, tuple[type, int]] = {
    "ifname": (str, 0),
    "ipv4_addr": (int, 32),
    "ipv6_addr": (int, 128),
    "inet_proto": (int, 8),
    "inet_service": (int, 16),
}
_WITHOUT_EFFECT = frozenset(("counter", "log", "limit", "comment"))


def parse_table(output: str) -> Table:
    """Read a listing of our table.

    Args:
        output: what nft printed.

    Raises:
        UnknownForm: something in it cannot be interpreted.
    """
    try:
        entries: list[Values] = msgspec.json.decode(output)["nftables"]
    except (msgspec.DecodeError, KeyError) as error:
        raise UnknownForm("the listing of the table (does the table bear a flag?)") from error
    hooks: dict[str, Values] = {}
    rules: dict[str, list[Rule]] = {}
    elements: dict[str, tuple[Element, ...]] = {}
    for entry in entries:
        ((kind, body),) = entry.items()
        if kind == "table" and "flags" in body:
            raise UnknownForm("the table's flag")
        if kind in ("set", "map"):
            elements[body["name"]] = tuple(_elements(body))
        elif kind == "chain":
            hooks[body["name"]], rules[body["name"]] = body, []
        elif kind == "rule":
            rules[body["chain"]].extend(_rules(body))
        elif kind not in ("metainfo", "table", "counter"):
            raise UnknownForm(f"{kind} {body.get('name', '')}".rstrip())
    chains = {name: _chain(body, tuple(rules[name])) for name, body in hooks.items()}
    return Table(chains=chains, elements=elements)


def _chain(body: Values, rules: tuple[Rule, ...]) -> Chain:
    deciding = tuple(each for each in rules if each.verdict or each.lookup)
    counting = tuple(each for each in rules if not each.verdict and not each.lookup)
    if "hook" not in body:
        return Chain(rules=deciding, counting=counting)
    if body["type"] not in ("filter", "nat") or not isinstance(body.get("prio"), int):
        raise UnknownForm(f"chain {body['name']} of type {body['type']}")
    return Chain(
        rules=deciding,
        counting=counting,
        hook=body["hook"],
        priority=body["prio"],
        drops=body.get("policy") == "drop",
    )


def _rules(body: Values) -> Iterator[Rule]:
    """The rule: of one that decides nothing, what it asks of packets."""
    try:
        matches: list[Match] = []
        limited, packets, decided = False, None, False
        for statement in body["expr"]:
            ((word, content),) = statement.items()
            if word == "match":
                matches.extend(_match(content))
            elif word == "vmap":
                lookup = _lookup(content["key"], content["data"])
                yield Rule(matches=tuple(matches), lookup=lookup, packets=packets)
                decided = True
            elif word not in _WITHOUT_EFFECT:
                verdict = _verdict(statement, limited=limited)
                yield Rule(matches=tuple(matches), verdict=verdict, packets=packets)
                decided = True
            elif word == "counter" and isinstance(content, dict):
                packets = int(content["packets"])
            limited |= word == "limit"
        if not decided:
            yield Rule(matches=tuple(matches), packets=packets)
    except (UnknownForm, KeyError, OSError, TypeError, ValueError) as error:
        text = msgspec.json.encode(body["expr"]).decode()
        raise UnknownForm(f"rule in chain {body['chain']}: {text}") from error


def _verdict(statement: Values, *, limited: bool = False) -> Verdict:
    ((word, content),) = statement.items()
    if limited:
        raise UnknownForm("a verdict behind a limit")
    try:
        decision = Decision(word)
    except ValueError:
        raise UnknownForm(f"statement {word}") from None
    if decision in (Decision.JUMP, Decision.GOTO):
        return Verdict(decision, content["target"])
    return Verdict(decision)


def _match(content: Values) -> Iterator[Match]:
    left, right, operator = content["left"], content["right"], content["op"]
    if operator not in ("==", "!=", "in"):
        raise UnknownForm(f"operator {operator}")
    negated = operator == "!="
    if isinstance(right, str) and right.startswith("@"):
        yield _lookup(left, right, negated=negated)
        return
    mask = 0
    if "&" in left:
        left, bits = left["&"]
        mask = sum(bits) if isinstance(bits, list) else int(bits)
    field, family, protocol = _field(left)
    if field in INTERFACES:
        wildcard = right.endswith("*")
        name = right.removesuffix("*")
        yield NameMatch(field=field, name=name, wildcard=wildcard, negated=negated)
        return
    values = _numbers(field, right)
    if field is Field.PORT:
        numbers = WITH_PORTS if protocol is None else (protocol,)
        values = union(
            part
            for number in numbers
            for span in values
            for part in traffic((number, number), span)
        )
    yield NumberMatch(
        field=field,
        values=values,
        family=family,
        mask=mask,
        negated=negated,
        scope=_scope(field, protocol),
    )


def _scope(field: Field, protocol: int | None) -> Intervals:
    """The traffic that has a field at all: nft asks for the protocol first."""
    if protocol is not None:
        return traffic((protocol, protocol))
    if field is Field.PORT:
        return union(part for each in WITH_PORTS for part in traffic((each, each)))
    return ANYTHING


def _field(left: Values) -> tuple[Field, int, int | None]:
    """A field, the family and the protocol that it belongs to, if any."""
    ((word, content),) = left.items()
    key = content.get("field") or content.get("key")
    if word == "meta" and key in ("iifname", "oifname", "l4proto", "nfproto"):
        return Field(key), 0, None
    if word == "ct" and key == "state":
        return Field.STATE, 0, None
    if word == "payload":
        owner = content["protocol"]
        if owner in ("ip", "ip6") and key in ("saddr", "daddr"):
            return Field(key), 4 if owner == "ip" else 6, None
        if (owner, key) == ("tcp", "flags"):
            return Field.FLAGS, 0, TCP
        if (owner, key) == ("icmpv6", "type"):
            return Field.PORT, 6, ICMPV6
        if key == "dport" and owner in ("th", "tcp", "udp", "sctp"):
            return Field.PORT, 0, {"th": None, "tcp": TCP, "udp": UDP, "sctp": SCTP}[owner]
    raise UnknownForm(f"field {word} {key}")


def _lookup(left: Values, name: str, *, negated: bool = False) -> Lookup:
    if not isinstance(name, str) or not name.startswith("@"):
        raise UnknownForm("a set without a name")
    parts = left.get("concat", [left])
    found = [_field(part) for part in parts]
    families = {family for _, family, _ in found if family}
    if len(families) > 1 or any(protocol is not None for _, _, protocol in found):
        raise UnknownForm(f"lookup in {name}")
    fields = tuple(field for field, _, _ in found)
    if not set(fields) <= {*INTERFACES, *ADDRESSES, Field.PROTOCOL, Field.PORT}:
        raise UnknownForm(f"lookup in {name}")
    return Lookup(
        fields=fields, name=name[1:], family=families.pop() if families else 0, negated=negated
    )


def _numbers(field: Field, right: Any) -> Intervals:
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    items = right if isinstance(right, list) else [right]
    if field is Field.FAMILY:
        return union((FAMILY_NUMBERS[each],) * 2 for each in items)
    if field is Field.STATE:
        return union((each, each) for each in items if isinstance(each, int))
    return union(_interval(each) for each in items)


def _interval(value: Any) -> Interval:
    if isinstance(value, int):
        return value, value
    if isinstance(value, str):
        family = AF_INET6 if ":" in value else AF_INET
        number = int.from_bytes(inet_pton(family, value), "big")
        return number, number
    if "prefix" in value:
        network = ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}")
        return int(network.network_address), int(network.broadcast_address)
    low, high = value["range"]
    return _interval(low)[0], _interval(high)[1]


def _elements(body: Values) -> Iterator[Element]:
    types = body["type"] if isinstance(body["type"], list) else [body["type"]]
    verdicts = body.get("map") == "verdict"
    unknown = set(types) - _TYPES.keys() or (body.get("map") is not None and not verdicts)
    if unknown or set(body.get("flags", ())) - {"interval"}:
        raise UnknownForm(f"set {body['name']} of type {' . '.join(map(str, types))}")
    for item in body.get("elem", ()):
        try:
            key, verdict = (item[0], _verdict(item[1])) if verdicts else (item, None)
            values = tuple(_values(key, types))
            yield Element(values=values, verdict=verdict, packets=_packets(key))
        except (UnknownForm, KeyError, OSError, TypeError, ValueError) as error:
            text = msgspec.json.encode(item).decode()
            raise UnknownForm(f"element of set {body['name']}: {text}") from error


def _packets(key: Any) -> int | None:
    """What an element has counted, if it counts."""
    counter = key["elem"].get("counter") if isinstance(key, dict) and "elem" in key else None
    return int(counter["packets"]) if counter else None


def _values(key: Any, types: list[str]) -> Iterator[str | Interval]:
    if isinstance(key, dict) and "elem" in key:
        if set(key["elem"]) - {"val", "counter", "comment"}:
            raise UnknownForm("an element that expires")
        key = key["elem"]["val"]
    parts = key["concat"] if isinstance(key, dict) and "concat" in key else [key]
    for part, kind in zip(parts, types, strict=True):
        if kind == "ifname":
            if not isinstance(part, str) or part.endswith("*"):
                raise UnknownForm("an interface that is no name")
            yield part
        else:
            yield _interval(part)
