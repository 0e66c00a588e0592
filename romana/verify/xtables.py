"""Reads what iptables and ipset print of ours as a table that can be interpreted. What is not
understood is no rule to pass over: it is an UnknownForm.

https://manpages.debian.org/iptables-extensions(8)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import zip_longest

from romana.dataplane.xtables import Listing
from romana.dataplane.xtables.denials import DENIED, LOGGED, TYPE
from romana.dataplane.xtables.programs import owner
from romana.dataplane.xtables.sets import IpSet, SetKey
from romana.dataplane.xtables.tables import MANGLE, NAT
from romana.policy.intervals import Interval, union
from romana.policy.space import ANYTHING, traffic
from romana.verify.forms import (
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

PRIORITIES = {MANGLE: -150, NAT: 100}
"""Of the kernel's hooks: linux/netfilter_ipv4.h."""
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "ipv6-icmp": 58}
STATES = {"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "UNTRACKED": 64}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32}
ICMPV6 = 58
_MODULES = frozenset(("conntrack", "tcp", "icmp6", "multiport", "set", "limit"))
_INTERFACES = {"src": Field.FROM_INTERFACE, "dst": Field.TO_INTERFACE}
_PEERS = {"src": Field.SOURCE, "dst": Field.DESTINATION}
_TYPES = {
    "hash:ip": 1,
    "hash:net": 1,
    "hash:ip,port": 2,
    "hash:net,port": 2,
    TYPE: 2,
}


def parse_listing(listing: Listing) -> Table:
    """Read a listing of our chains and sets.

    Raises:
        UnknownForm: something in it cannot be interpreted.
    """
    chains: dict[str, Chain] = {}
    for (family, table), found in listing.chains.items():
        for chain, rules in found.items():
            packets = listing.packets.get((family, table), {}).get(chain, ())
            parsed = [
                _Words(rule, family, chain).rule(counted)
                for rule, counted in zip_longest(rules, packets[: len(rules)])
            ]
            chains[_chain_name(chain, family)] = Chain(
                rules=tuple(each for each in parsed if each.verdict),
                counting=tuple(each for each in parsed if not each.verdict),
            )
        for hook in sorted(listing.hooks.get((family, table), ())):
            chain, _, rule = hook.partition(" ")
            of_family = NumberMatch(field=Field.FAMILY, values=((family, family),), scope=ANYTHING)
            jump = _Words(rule, family, chain).rule()
            first = Rule(matches=(of_family, *jump.matches), verdict=jump.verdict)
            chains[_chain_name(chain, family)] = Chain(
                rules=(first,), hook=chain.lower(), priority=PRIORITIES[table]
            )
    elements = {
        _set_name(key): tuple(_elements(key, content)) for key, content in listing.sets.items()
    }
    return Table(chains=chains, elements=elements)


def _chain_name(chain: str, family: int) -> str:
    return f"{chain}/{family}"


def _set_name(key: SetKey) -> str:
    return f"{key.code} of {key.owner}/{key.family}"


class _Words:
    """The words of one rule, from left to right."""

    def __init__(self, rule: str, family: int, chain: str) -> None:
        self._text = f"rule in chain {chain}: {rule}"
        self._words = deque(rule.split())
        self._family = family
        self._chain = chain
        self._protocol: int | None = None
        self._limited = False

    def rule(self, packets: int | None = None) -> Rule:
        """What they say; without a verdict where they decide nothing.

        Args:
            packets: what the rule has counted, if that is known.
        """
        matches: list[Match] = []
        verdict = None
        try:
            while self._words and self._words[0] not in ("-j", "-g"):
                matches.extend(self._match())
            if self._words and list(self._words)[:2] != ["-j", "NFLOG"]:
                verdict = self._verdict()
        except (IndexError, KeyError, ValueError) as error:
            raise UnknownForm(self._text) from error
        return Rule(matches=tuple(matches), verdict=verdict, packets=packets)

    def _verdict(self) -> Verdict:
        if self._limited:
            raise UnknownForm(self._text)
        way, target, *options = self._words
        if way == "-j" and target in ("ACCEPT", "DROP", "RETURN") and not options:
            return Verdict(Decision(target.lower()))
        if way == "-j" and target == "MASQUERADE" and options in (["--random"], []):
            return Verdict(Decision.MASQUERADE)
        if options or not target.startswith("ROMANA-"):
            raise UnknownForm(self._text)
        decision = Decision.GOTO if way == "-g" else Decision.JUMP
        return Verdict(decision, _chain_name(target, self._family))

    def _match(self) -> Iterator[Match]:
        word = self._words.popleft()
        if word == "-m":
            if self._words.popleft() not in _MODULES:
                raise UnknownForm(self._text)
            return
        if word in ("--limit", "--limit-burst"):
            self._words.popleft()
            self._limited = True
            return
        negated = word == "!"
        word = self._words.popleft() if negated else word
        value = self._words.popleft()
        if word in ("-i", "-o"):
            field = Field.FROM_INTERFACE if word == "-i" else Field.TO_INTERFACE
            name = value.removesuffix("+")
            yield NameMatch(field=field, name=name, wildcard=name != value, negated=negated)
        elif word == "--match-set":
            yield self._lookup(value, self._words.popleft(), negated=negated)
        else:
            yield self._numbers(word, value, negated=negated)

    def _lookup(self, code: str, directions: str, *, negated: bool) -> Lookup:
        first, _, second = directions.partition(",")
        fields: tuple[Field, ...] = (_PEERS[first],)
        if code.removeprefix("@") in (DENIED, LOGGED):
            fields = (*fields, _INTERFACES[second])
        elif second == "dst":
            fields = (*fields, Field.PROTOCOL, Field.PORT)
        elif second:
            raise UnknownForm(self._text)  # the port of the source
        key = SetKey(self._family, owner(self._chain), code.removeprefix("@"))
        return Lookup(fields=fields, name=_set_name(key), family=self._family, negated=negated)

    def _numbers(self, word: str, value: str, *, negated: bool) -> NumberMatch:
        scope, mask, family = ANYTHING, 0, 0
        if word in ("-s", "-d"):
            field, family = Field.SOURCE if word == "-s" else Field.DESTINATION, self._family
            values = union((_network(value),))
        elif word == "-p":
            self._protocol = number = PROTOCOLS[value] if value in PROTOCOLS else int(value)
            field, values = Field.PROTOCOL, ((number, number),)
        elif word == "--ctstate":
            field = Field.STATE
            values = union((STATES[each], STATES[each]) for each in value.split(","))
        elif word == "--tcp-flags":
            field, mask = Field.FLAGS, sum(FLAGS[each] for each in value.split(","))
            number = sum(FLAGS[each] for each in self._words.popleft().split(","))
            values, scope = ((number, number),), self._scope()
        elif word in ("--dports", "--icmpv6-type"):
            low, _, high = value.partition(":")
            field, scope = Field.PORT, self._scope()
            number = scope[0][0] >> 16
            values = traffic((number, number), (int(low), int(high or low)))
        else:
            raise UnknownForm(self._text)
        return NumberMatch(
            field=field, values=values, family=family, mask=mask, negated=negated, scope=scope
        )

    def _scope(self) -> tuple[Interval, ...]:
        """The traffic of the protocol that the rule has asked for before."""
        if self._protocol is None:
            raise UnknownForm(self._text)
        return traffic((self._protocol, self._protocol))


def _elements(key: SetKey, content: IpSet) -> Iterator[Element]:
    if content.type not in _TYPES or content.family != key.family:
        raise UnknownForm(f"set {_set_name(key)} of type {content.header}")
    for text in content.elements:
        try:
            values = tuple(_values(text, content.type))
            yield Element(values=values, packets=content.packets.get(text))
        except (KeyError, ValueError) as error:
            raise UnknownForm(f"element of set {_set_name(key)}: {text}") from error


def _values(text: str, kind: str) -> Iterator[str | Interval]:
    peers, _, service = text.partition(",")
    yield _network(peers)
    if kind == TYPE and service:
        yield service
    elif _TYPES[kind] == 2:
        name, port = service.split(":")
        number = PROTOCOLS[name]
        yield number, number
        yield int(port), int(port)
    elif service:
        raise ValueError(text)


def _network(text: str) -> Interval:
    network = ip_network(text)
    return int(network.network_address), int(network.broadcast_address)
