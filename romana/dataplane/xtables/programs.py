"""A program's grants as sets, and the chain that looks them up. Pure.

By what it names, a grant goes to a set of its family:
  h       one address, every protocol                        hash:ip
  n       more addresses, every protocol                     hash:net
  hp      one address, a few ports                           hash:ip,port   an element for each port
  np      more addresses, a few ports                        hash:net,port  an element for each port
  pN      one protocol N without its ports                   hash:net
  rN.LOW  many ports of protocol N                           hash:net
ipset knows no ranges of ports, and a rule for each range would make the cost grow with their
number. So the long ranges of a protocol are cut where any of them begins or ends; each piece is a
set of the addresses that it is admitted for, and the chain finds the piece by a tree over the
ports: a packet meets a logarithm of their number, and one set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from romana.dataplane.programs import FAMILIES, LAST_PORT, address_text, range_text
from romana.dataplane.xtables.sets import PREFIX, IpSet, SetKey, networks
from romana.policy.admission import ANY_PROTOCOL, Direction, Grant, Program

EXPANDED = 8
"""Up to so many ports of a range are elements of their own."""
BRANCHES = 4
NAME_LENGTH = 16
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
"""Those that have ports."""

DENY = {Direction.INGRESS: f"{PREFIX}DENY-IN", Direction.EGRESS: f"{PREFIX}DENY-OUT"}
ADMIT = {Direction.INGRESS: "-j ACCEPT", Direction.EGRESS: "-j RETURN"}
"""An admitted packet that comes from a pod may yet go to another, which is judged next."""
_LETTER = {Direction.INGRESS: "I", Direction.EGRESS: "E"}
_PEER = {Direction.INGRESS: "src", Direction.EGRESS: "dst"}
_TYPES = {"h": "hash:ip", "n": "hash:net", "hp": "hash:ip,port", "np": "hash:net,port"}

Chains = Mapping[str, tuple[str, ...]]
"""Rules by chain, as `iptables-save` prints them behind `-A CHAIN`; `@CODE` stands for a set of the
chain's owner."""


class Piece(NamedTuple):
    """Some ports of a protocol, in which every address has all or none."""

    protocol: int
    low: int
    high: int

    @property
    def code(self) -> str:
        """Of its set."""
        return f"r{self.protocol}.{self.low}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramTables:
    """What a program is in the kernel: its sets, its chains by family, and for those the pieces of
    long ranges of ports."""

    sets: Mapping[SetKey, IpSet]
    chains: Mapping[int, Chains]
    pieces: Mapping[int, Sequence[Piece]]


def program_chain(direction: Direction, name: str) -> str:
    """The name of a program's chain. Names that do not fit into the kernel's 28 characters are
    replaced by a digest."""
    if len(name) > NAME_LENGTH or "." in name:
        name = blake2b(name.encode(), digest_size=NAME_LENGTH // 2).hexdigest()
    return f"{PREFIX}{_LETTER[direction]}-{name}"


def owner(chain: str) -> str:
    """The chain whose sets a chain looks up: a program's first one."""
    return chain.partition(".")[0] if chain.startswith((f"{PREFIX}I-", f"{PREFIX}E-")) else chain


def program_tables(
    program: Program, old: Program | None = None, known: ProgramTables | None = None
) -> ProgramTables:
    """A program's sets and chains. Sets that would be empty do not exist, and are not looked up.

    Args:
        program: to render.
        old: what it was before, if that is known.
        known: its tables then; sets that do not change are returned as they are.

    Raises:
        ValueError: a grant chooses ports of a protocol that has none.
    """
    chain = program_chain(program.direction, program.name)
    if old is not None and known is not None:
        gone, new = old.grants - program.grants, program.grants - old.grants
        if all(map(_code, gone | new)):
            return _varied(program, chain, known, gone, new)
    elements, pieces = _elements(program.grants)
    return _made(program, chain, elements, pieces, known.sets if known else {})


def _varied(
    program: Program,
    chain: str,
    known: ProgramTables,
    gone: frozenset[Grant],
    new: frozenset[Grant],
) -> ProgramTables:
    """The tables with a few grants less and a few more, none of them with a long range of ports."""
    less, more = _short_elements(gone), _short_elements(new)
    elements: dict[tuple[int, str], frozenset[str]] = {}
    for family, code in {*((key.family, key.code) for key in known.sets), *more}:
        before = known.sets.get(SetKey(family, chain, code))
        found = before.elements if before else frozenset()
        if (family, code) in less or (family, code) in more:
            found = (found - less.get((family, code), set())) | more.get((family, code), set())
        elements[family, code] = found
    return _made(program, chain, elements, known.pieces, known.sets)


def _made(
    program: Program,
    chain: str,
    elements: Mapping[tuple[int, str], Set[str]],
    pieces: Mapping[int, Sequence[Piece]],
    known: Mapping[SetKey, IpSet],
) -> ProgramTables:
    sets: dict[SetKey, IpSet] = {}
    for (family, code), found in elements.items():
        key = SetKey(family, chain, code)
        before = known.get(key)
        if before is not None and (before.elements is found or before.elements == found):
            sets[key] = before
        elif found:
            kind = _TYPES.get(code, "hash:net")
            sets[key] = IpSet(type=kind, family=family, elements=frozenset(found))
    chains = {}
    for family in FAMILIES:
        codes = {key.code for key in sets if key.family == family}
        chains[family] = dict(_chains(program.direction, chain, codes, pieces[family]))
    return ProgramTables(sets=sets, chains=chains, pieces=pieces)


def _elements(
    grants: Iterable[Grant],
) -> tuple[dict[tuple[int, str], set[str]], Mapping[int, Sequence[Piece]]]:
    """Elements by family and code; and the pieces of long ranges, in order, by family."""
    found = _short_elements(each for each in grants if _code(each))
    long: defaultdict[tuple[int, int], list[Grant]] = defaultdict(list)
    for each in grants:
        if not _code(each):
            long[each.family, each.protocol].append(each)
    pieces: dict[int, list[Piece]] = {family: [] for family in FAMILIES}
    for (family, _), ranges in sorted(long.items()):
        for piece, within in _pieces(ranges):
            texts = {text for each in within for text in _texts(each, ports=False)}
            if texts:
                found[family, piece.code] = texts
                pieces[family].append(piece)
    return found, pieces


def _short_elements(grants: Iterable[Grant]) -> dict[tuple[int, str], set[str]]:
    """Elements by family and code."""
    found: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for each in grants:
        code = _code(each)
        found[each.family, code].update(_texts(each, ports=code in ("hp", "np")))
    return dict(found)


def _code(grant: Grant) -> str:
    """Of the set that a grant belongs to; empty where its range of ports is long."""
    host = grant.low == grant.high
    if grant.protocol == ANY_PROTOCOL:
        return "h" if host else "n"
    if (grant.port_low, grant.port_high) == (0, LAST_PORT):
        return f"p{grant.protocol}"
    if grant.protocol not in PROTOCOLS:
        raise ValueError(f"protocol {grant.protocol} has no ports to choose")
    if grant.port_high - grant.port_low >= EXPANDED:
        return ""
    return "hp" if host else "np"


def _texts(grant: Grant, *, ports: bool) -> Iterator[str]:
    if grant.low == grant.high:
        peers: Sequence[str] = (address_text(grant.family, grant.low),) if grant.low else ()
    else:
        peers = networks(grant.family, grant.low, grant.high)
    if not ports:
        yield from peers
        return
    name = PROTOCOLS[grant.protocol]
    for port in range(grant.port_low, grant.port_high + 1):
        for peer in peers:
            yield f"{peer},{name}:{port}"


def _pieces(grants: Sequence[Grant]) -> Iterator[tuple[Piece, list[Grant]]]:
    """One protocol's ranges, cut where any begins or ends."""
    cuts = sorted({each.port_low for each in grants} | {each.port_high + 1 for each in grants})
    for low, after in zip(cuts, cuts[1:], strict=False):
        within = [each for each in grants if each.port_low <= low <= each.port_high]
        if within:
            yield Piece(grants[0].protocol, low, after - 1), within


def _chains(
    direction: Direction, chain: str, codes: set[str], pieces: Sequence[Piece]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The chain of one family, with those of its tree."""
    peer, admit, deny = _PEER[direction], ADMIT[direction], f"-g {DENY[direction]}"
    rules = []
    for code, kind in _TYPES.items():
        if code in codes:
            fields = f"{peer},dst" if "port" in kind else peer
            rules.append(f"-m set --match-set @{code} {fields} {admit}")
    for number in sorted(int(code[1:]) for code in codes if code.startswith("p")):
        name = PROTOCOLS.get(number, str(number))
        rules.append(f"-p {name} -m set --match-set @p{number} {peer} {admit}")
    tree = _PortTree(chain, f"{peer} {admit}", deny)
    rules += tree.rules(pieces)
    yield chain, (*rules, deny)
    yield from tree.chains.items()


class _PortTree:
    """Chains that find the piece of a port.

    Args:
        chain: the program's.
        found: what a rule that has found the piece ends with.
        deny: the last rule of every chain.
    """

    def __init__(self, chain: str, found: str, deny: str) -> None:
        self._chain = chain
        self._found = found
        self._deny = deny
        self.chains: dict[str, tuple[str, ...]] = {}

    def rules(self, pieces: Sequence[Piece]) -> tuple[str, ...]:
        """Of the chain that has these left."""
        if len(pieces) <= BRANCHES:
            return tuple(
                f"{_ports(each, each)} -m set --match-set @{each.code} {self._found}"
                for each in pieces
            )
        rules = []
        for part in _parts(pieces):
            name = f"{self._chain}.{len(self.chains)}"
            self.chains[name] = ()
            self.chains[name] = (*self.rules(part), self._deny)
            rules.append(f"{_ports(part[0], part[-1])} -g {name}")
        return tuple(rules)


def _parts(pieces: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    """Some parts of equal length; of several protocols, one for each."""
    protocols = sorted({each.protocol for each in pieces})
    if len(protocols) > 1:
        for protocol in protocols:
            yield [each for each in pieces if each.protocol == protocol]
        return
    size = -(-len(pieces) // BRANCHES)
    for at in range(0, len(pieces), size):
        yield pieces[at : at + size]


def _ports(first: Piece, last: Piece) -> str:
    """The match of the ports from one piece to another. Not the protocol's own module: that of
    SCTP is not everywhere."""
    ports = range_text(str(first.low), str(last.high)).replace("-", ":")
    return f"-p {PROTOCOLS[first.protocol]} -m multiport --dports {ports}"
