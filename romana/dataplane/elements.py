"""Elements of sets as the kernel takes them, so that a change of elements alone needs no process of
nft, which reads the sets back to delete from them. Pure.

Layouts: linux/netfilter/nf_tables.h. A key is its fields one after the other, in network byte
order, each padded to four bytes. An element of a concatenated interval set has two keys, the lowest
and the highest value of each field, even where they are the same.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

from romana.dataplane.messages import attribute, nested
from romana.dataplane.ruleset import TABLE, Edit, Set

NEW_ELEMENTS, DELETE_ELEMENTS = 10 << 8 | 12, 10 << 8 | 14
CREATE = 0x400
"""Without EXCL: that an element is there already is no error, as for nft's `add`."""

INET = 1
LIST_TABLE, LIST_SET, LIST_ELEMENTS, LIST_ITEM = 1, 2, 3, 1
KEY, DATA, KEY_END = 1, 2, 10
VALUE, VERDICT = 1, 2
VERDICT_CODE, VERDICT_CHAIN = 1, 2
VERDICTS = {"accept": 1, "drop": 0, "goto": -4, "return": -5}

HEADER = struct.pack("=BBH", INET, 0, 0)
CHUNK = 400
"""Elements of one message: the length of an attribute has two bytes, an element less than 160."""


def _name(text: str) -> bytes:
    return text.strip('"').encode().ljust(16, b"\0")


def _address4(text: str) -> bytes:
    return socket.inet_aton(text)


def _address6(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text)


def _protocol(text: str) -> bytes:
    return struct.pack("=Bxxx", int(text))


def _port(text: str) -> bytes:
    return struct.pack("!Hxx", int(text))


FIELDS: Mapping[str, Callable[[str], bytes]] = {
    "ifname": _name,
    "ipv4_addr": _address4,
    "ipv6_addr": _address6,
    "inet_proto": _protocol,
    "inet_service": _port,
}


def encodable(kind: Set) -> bool:
    """Whether elements of a set can be written here. Those of a single field with intervals are
    kept otherwise in the kernel, and change only with the configuration."""
    fields = _names(kind)
    return all(each in FIELDS for each in fields) and not (kind.interval and len(fields) == 1)


def messages_of(edits: Iterable[Edit]) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and body of each message that carries out edits, in the order in which they must
    go."""
    edits = tuple(edits)
    for each in edits:
        for body in _bodies(each, each.deleted):
            yield DELETE_ELEMENTS, 0, body
    for each in edits:
        for body in _bodies(each, each.added):
            yield NEW_ELEMENTS, CREATE, body


def _bodies(edit: Edit, elements: Iterable[str]) -> Iterator[bytes]:
    items = list(map(_encoder(edit.kind), elements))
    table, name = text_bytes(TABLE.split()[1]), text_bytes(edit.name)
    start = HEADER + attribute(LIST_TABLE, table) + attribute(LIST_SET, name)
    for at in range(0, len(items), CHUNK):
        yield start + nested(LIST_ELEMENTS, *items[at : at + CHUNK])


def _encoder(kind: Set) -> Callable[[str], bytes]:
    """Encodes the texts of a set's elements (see `Set`), as items of a list. All keys of a set have
    the same length, and so the same headers around them."""
    fields = [FIELDS[each] for each in _names(kind)]
    length = sum(len(each(_SAMPLES[name])) for each, name in zip(fields, _names(kind), strict=True))
    key, highest = (nested(each, attribute(VALUE, bytes(length))) for each in (KEY, KEY_END))
    before, between = nested(LIST_ITEM, key)[:-length], highest[:-length]
    before_both = nested(LIST_ITEM, key, highest)[: len(before)]

    def value(parts: Iterable[str]) -> bytes:
        return b"".join(f(p) for f, p in zip(fields, parts, strict=True))

    def plain(text: str) -> bytes:
        return before + value(text.split(" . "))

    def interval(text: str) -> bytes:
        ends = [part.partition("-") for part in text.split(" . ")]
        low, high = value(low for low, _, _ in ends), value(high or low for low, _, high in ends)
        return before_both + low + between + high

    def verdict(text: str) -> bytes:
        wanted, _, then = text.partition(" : ")
        found = nested(KEY, attribute(VALUE, value(wanted.split(" . "))))
        return nested(LIST_ITEM, found, nested(DATA, verdict_data(then)))

    if kind.verdicts:
        return verdict
    return interval if kind.interval else plain


_SAMPLES = {
    "ifname": "x",
    "ipv4_addr": "0.0.0.0",  # noqa: S104 - no address to listen on
    "ipv6_addr": "::",
    "inet_proto": "0",
    "inet_service": "0",
}


def _names(kind: Set) -> list[str]:
    return kind.type.split(" . ")


def verdict_data(text: str) -> bytes:
    """A verdict as nft writes it: `accept`, `goto CHAIN`."""
    word, _, chain = text.partition(" ")
    parts = [attribute(VERDICT_CODE, struct.pack("!i", VERDICTS[word]))]
    if chain:
        parts.append(attribute(VERDICT_CHAIN, text_bytes(chain)))
    return nested(VERDICT, *parts)


def text_bytes(value: str) -> bytes:
    """A string attribute's value."""
    return value.encode() + b"\0"
