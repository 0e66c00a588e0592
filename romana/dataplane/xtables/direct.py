"""Lines of `ipset restore` as netlink messages, so that a change of sets needs no process. Pure.

Layouts: linux/netfilter/ipset/ip_set.h. Of the protocol, version 6 is spoken, which every kernel
since Linux 2.6.39 takes. Of each type of sets the first revision is asked for that has what our
elements need, so that any program of ipset can list them. Lines of one set that follow each other
are one message; the kernel carries out its elements in order, up to the first that it refuses.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice

from romana.dataplane.direct import Order
from romana.dataplane.messages import ATTRIBUTE, NESTED, attribute, attributes, nested, text
from romana.dataplane.xtables.programs import PROTOCOLS

SUBSYSTEM = 6
GET_PROTOCOL, CREATE, DESTROY, ADD, DELETE, GET_TYPE = (
    SUBSYSTEM << 8 | command for command in (1, 2, 3, 9, 10, 13)
)
VERBS = {"create": CREATE, "destroy": DESTROY, "add": ADD, "del": DELETE}
PROTOCOL = 6

EXCLUSIVE, CREATING = 0x200, 0x400
"""Without the first flag, an element that is there already, or not there to be deleted, is no
error."""

NETWORK_ORDER = 0x4000
VERSION, SET_NAME, TYPE_NAME, REVISION, FAMILY, DATA, ELEMENTS, LINE = 1, 2, 3, 4, 5, 7, 8, 9
LEAST_VERSION = LEAST_REVISION = 10
ADDRESS, PREFIX_LENGTH, PORT, LAYER4 = 1, 3, 4, 7
ADDRESS4, ADDRESS6 = 1, 2
HASH_SIZE, MOST_ELEMENTS = 18, 19
FLAGS, INTERFACE, WITH_COUNTERS = 8, 23, 8
FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}

REVISIONS = {
    "hash:ip": 0,
    "hash:net": 0,
    "hash:ip,port": 1,
    "hash:net,port": 1,
    "hash:net,iface": 3,
}
"""Of types; SCTP came with the second of those with ports, counters with the fourth of that with
interfaces."""

CHUNK = 800
"""Elements of one message: the length of an attribute has two bytes, an element less than 64."""

IN_USE = 4100
REASONS = {
    4097: "it speaks another protocol",
    4098: "it has no such type of sets",
    4099: "it has as many sets as it takes",
    IN_USE: "it is in use",
    4103: "an element was there already, or was not there",
    4352: "the set is full",
}
"""What of the kernel's numbers is ipset's own."""

_HEADER = struct.pack("=BBH", socket.AF_INET, 0, 0)
_VERSION = attribute(VERSION, bytes((PROTOCOL,)))
_LINE = attribute(LINE, bytes(4))  # has to be there; without numbers of lines inside it stays 0
_ADDRESS4, _ADDRESS6 = (
    nested(ADDRESS, attribute(kind | NETWORK_ORDER, bytes(length)))[:-length]
    for kind, length in ((ADDRESS4, 4), (ADDRESS6, 16))
)
_NUMBERS = {name: number for number, name in PROTOCOLS.items()}


def orders(lines: Iterable[str], *, exist: bool = False) -> Iterator[Order]:
    """The messages of some lines, in order.

    Args:
        lines: as `sets.py` writes them.
        exist: as ipset's option of this name.

    Raises:
        ValueError: a line is none of those.
    """
    split = (line.split(" ", 2) for line in lines)
    for (verb, name), group in groupby(split, lambda words: (words[0], words[1])):
        if verb == "create":
            yield from (_creation(name, words[2].split(" ")) for words in group)
        elif verb == "destroy":
            yield DESTROY, 0, _body(name)
        elif verb in VERBS:
            elements = (words[2] for words in group)
            flags = 0 if exist else EXCLUSIVE
            while chunk := b"".join(map(_element, islice(elements, CHUNK))):
                yield VERBS[verb], flags, _body(name) + _LINE + nested(ELEMENTS, chunk)
        else:
            raise ValueError(f"`{verb}` is not known")


def deleting(order: Order) -> bool:
    """Whether a message takes something away."""
    return order[0] in (DELETE, DESTROY)


def subject(order: Order) -> str:
    """The name of the set that a message is about."""
    return text(attributes(order[2], len(_HEADER))[SET_NAME])


def protocol_question() -> bytes:
    """Asks which versions of the protocol the kernel speaks."""
    return _HEADER + _VERSION


def speaks(answer: bytes) -> bool:
    """Whether it speaks ours."""
    found = attributes(answer, len(_HEADER))
    newest = found.get(VERSION, b"\0")
    oldest = found.get(LEAST_VERSION, newest)
    return oldest[0] <= PROTOCOL <= newest[0]


def type_question(name: str) -> bytes:
    """Asks which revisions of a type the kernel has."""
    family = attribute(FAMILY, bytes((socket.AF_INET,)))
    return _HEADER + _VERSION + attribute(TYPE_NAME, _text(name)) + family


def has_revision(name: str, answer: bytes) -> bool:
    """Whether it has ours."""
    found = attributes(answer, len(_HEADER))
    newest = found.get(REVISION, b"\0")
    oldest = found.get(LEAST_REVISION, newest)
    return oldest[0] <= REVISIONS[name] <= newest[0]


def _creation(name: str, words: Sequence[str]) -> Order:
    """Of `create NAME TYPE family FAMILY hashsize NUMBER maxelem NUMBER [counters]`."""
    kind, _, family, _, size, _, most, *counters = words
    numbers = [(FLAGS, WITH_COUNTERS)] if counters else []
    numbers += [(HASH_SIZE, int(size)), (MOST_ELEMENTS, int(most))]
    data = (
        attribute(number | NETWORK_ORDER, struct.pack("!I", value)) for number, value in numbers
    )
    body = (
        _body(name),
        attribute(TYPE_NAME, _text(kind)),
        attribute(REVISION, bytes((REVISIONS[kind],))),
        attribute(FAMILY, bytes((FAMILIES[family],))),
        nested(DATA, *data),
    )
    return CREATE, CREATING | EXCLUSIVE, b"".join(body)


def _element(element: str) -> bytes:
    """Of `ADDRESS[/LENGTH][,PROTOCOL:PORT|,INTERFACE]`."""
    peer, _, service = element.partition(",")
    address, _, length = peer.partition("/")
    if ":" in address:
        content = _ADDRESS6 + socket.inet_pton(socket.AF_INET6, address)
    else:
        content = _ADDRESS4 + socket.inet_aton(address)
    if length:
        content += attribute(PREFIX_LENGTH, bytes((int(length),)))
    if service:
        content += _service(service)
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(content), DATA | NESTED) + content


@lru_cache(maxsize=1024)
def _service(words: str) -> bytes:
    """Of `PROTOCOL:PORT`, or the name of an interface."""
    protocol, _, port = words.partition(":")
    if not port:
        return attribute(INTERFACE, _text(words))
    number = attribute(PORT | NETWORK_ORDER, struct.pack("!H", int(port)))
    return number + attribute(LAYER4, bytes((_NUMBERS[protocol],)))


def _body(name: str) -> bytes:
    return _HEADER + _VERSION + attribute(SET_NAME, _text(name))


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
