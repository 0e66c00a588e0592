"""Chains, sets and rules of programs as the kernel takes them. Pure.

Layouts: linux/netfilter/nf_tables.h. A rule is a list of expressions over registers: load the
fields of the packet side by side, look them up, give the verdict. Registers 1 and 2 hold 16 bytes
each; 8 to 15 are quarters of the same space. Only the rules that `programs.py` writes are known
here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from romana.dataplane.elements import HEADER, text_bytes, verdict_data
from romana.dataplane.messages import attribute, nested
from romana.dataplane.ruleset import TABLE, Set

SUBSYSTEM = 10
NEW_CHAIN, DELETE_CHAIN = SUBSYSTEM << 8 | 3, SUBSYSTEM << 8 | 5
NEW_RULE, DELETE_RULE = SUBSYSTEM << 8 | 6, SUBSYSTEM << 8 | 8
NEW_SET, DELETE_SET = SUBSYSTEM << 8 | 9, SUBSYSTEM << 8 | 11
CREATE, APPEND = 0x400, 0x800

CHAIN_TABLE, CHAIN_NAME = 1, 3
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS = 1, 2, 4
SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_TYPE, SET_KEY_LENGTH = 1, 2, 3, 4, 5
SET_DESCRIPTION, SET_ID, SET_USERDATA = 9, 10, 13
DESCRIPTION_FIELDS, LIST_ITEM = 2, 1
INTERVAL, CONCATENATION = 0x4, 0x80
EXPRESSION_NAME, EXPRESSION_DATA = 1, 2

TYPES = {"ipv4_addr": (7, 4), "ipv6_addr": (8, 16), "inet_proto": (12, 1), "inet_service": (13, 2)}
"""How nft numbers the types of keys, and their lengths in bytes."""
KEY_ORDER = {False: b"\0\4\2\0\0\0", True: b"\0\4\0\0\0\0"}
"""What nft notes with a set: the key is in network order; a concatenation has no order."""

FAMILY, LAYER4 = 15, 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
FIRST_REGISTER, FIRST_QUARTER = 1, 8
PEERS = {
    ("ip", "saddr"): (2, 12, 4),
    ("ip", "daddr"): (2, 16, 4),
    ("ip6", "saddr"): (10, 8, 16),
    ("ip6", "daddr"): (10, 24, 16),
}
"""The family's number, and where in the network header an address is."""

LOOKUP = re.compile(
    r"(ip6?) ([sd]addr)( \. meta l4proto)?( \. th dport)? @(\S+) counter (accept|return)"
)
GOTO = re.compile(r"counter goto (\S+)")

_TABLE = text_bytes(TABLE.split()[1])


def writable(rule: str) -> bool:
    """Whether a rule can be written here."""
    return bool(LOOKUP.fullmatch(rule) or GOTO.fullmatch(rule))


def chain_body(name: str) -> bytes:
    """Names a chain that is no base chain: to make it, or to delete it."""
    return HEADER + attribute(CHAIN_TABLE, _TABLE) + attribute(CHAIN_NAME, text_bytes(name))


def flush_body(chain: str) -> bytes:
    """Names the rules of a chain, to delete them all."""
    return HEADER + attribute(RULE_TABLE, _TABLE) + attribute(RULE_CHAIN, text_bytes(chain))


def rule_body(chain: str, rule: str) -> bytes:
    """A rule of a chain."""
    return flush_body(chain) + nested(RULE_EXPRESSIONS, *_expressions(rule))


def set_reference(name: str) -> bytes:
    """Names a set, to delete it."""
    return HEADER + attribute(SET_TABLE, _TABLE) + attribute(SET_NAME, text_bytes(name))


def makeable(kind: Set) -> bool:
    """Whether a set can be made here: such as programs have."""
    known = all(each in TYPES for each in kind.type.split(" . "))
    return known and not (kind.verdicts or kind.counted)


def set_body(name: str, kind: Set, number: int) -> bytes:
    """A set to make, without its elements.

    Args:
        name: of the set.
        kind: its type and flags; `makeable`.
        number: one that no other set of the same transaction has.
    """
    fields = [TYPES[each] for each in kind.type.split(" . ")]
    several = len(fields) > 1
    kinds = 0
    for code, _ in fields:
        kinds = kinds << 6 | code
    body = set_reference(name)
    body += _number(SET_FLAGS, (INTERVAL | CONCATENATION) if kind.interval else 0)
    body += _number(SET_KEY_TYPE, kinds)
    body += _number(SET_KEY_LENGTH, sum(-(-length // 4) * 4 for _, length in fields))
    body += _number(SET_ID, number)
    if kind.interval:
        lengths = (nested(LIST_ITEM, _number(1, length)) for _, length in fields)
        body += nested(SET_DESCRIPTION, nested(DESCRIPTION_FIELDS, *lengths))
    return body + attribute(SET_USERDATA, KEY_ORDER[several])


def _expressions(rule: str) -> Iterator[bytes]:
    found = LOOKUP.fullmatch(rule)
    if not found:
        (chain,) = GOTO.fullmatch(rule).groups()  # type: ignore[union-attr]
        yield _expression("counter")
        yield _immediate(f"goto {chain}")
        return
    header, peer, protocol, port, name, verdict = found.groups()
    family, offset, size = PEERS[header, peer]
    quarter = FIRST_QUARTER + size // 4
    yield _expression("meta", _number(2, FAMILY), _number(1, FIRST_REGISTER))
    yield _compare(family)
    yield _payload(FIRST_REGISTER, NETWORK_HEADER, offset, size)
    if protocol:
        yield _expression("meta", _number(2, LAYER4), _number(1, _register(quarter)))
    if port:
        yield _payload(_register(quarter + 1), TRANSPORT_HEADER, 2, 2)
    yield _expression("lookup", _number(2, FIRST_REGISTER), attribute(1, text_bytes(name)))
    yield _expression("counter")
    yield _immediate(verdict)


def _register(quarter: int) -> int:
    """The name of a register that nft would use: those that start 16 bytes have a shorter one."""
    at, rest = divmod(quarter - FIRST_QUARTER, 4)
    return quarter if rest else FIRST_REGISTER + at


def _compare(family: int) -> bytes:
    data = nested(3, attribute(1, bytes((family,))))
    return _expression("cmp", _number(1, FIRST_REGISTER), _number(2, 0), data)


def _payload(register: int, base: int, offset: int, size: int) -> bytes:
    values = (_number(1, register), _number(2, base), _number(3, offset), _number(4, size))
    return _expression("payload", *values)


def _immediate(verdict: str) -> bytes:
    return _expression("immediate", _number(1, 0), nested(2, verdict_data(verdict)))


def _expression(name: str, *data: bytes) -> bytes:
    described = attribute(EXPRESSION_NAME, text_bytes(name)) + nested(EXPRESSION_DATA, *data)
    return nested(LIST_ITEM, described)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))
