"""Reads what elements of our sets have counted, from the kernel itself: a process of nft would take
a hundred times as long.

Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from romana.dataplane.denials import denied_set
from romana.dataplane.elements import (
    HEADER,
    KEY,
    LIST_ELEMENTS,
    LIST_ITEM,
    LIST_SET,
    LIST_TABLE,
    VALUE,
    text_bytes,
)
from romana.dataplane.errors import NetlinkError, RulesetError
from romana.dataplane.messages import attribute, attributes, items, text
from romana.dataplane.programs import FAMILIES
from romana.dataplane.requests import Netfilter
from romana.dataplane.ruleset import TABLE
from romana.policy.admission import Direction

DeniedPackets = Mapping[Direction, Mapping[str, int]]
"""Packets denied so far, by the interface of the endpoint that they were denied for."""

GET_ELEMENTS = 10 << 8 | 13
EXPRESSION, EXPRESSION_NAME, EXPRESSION_DATA = 7, 1, 2
COUNTER_PACKETS = 2
NAME_BYTES = 16


async def denied_packets() -> DeniedPackets:
    """What was denied to and from each endpoint of our table, by nftables.

    Raises:
        RulesetError: it cannot be read; there may be no such table (yet).
    """
    found: dict[Direction, dict[str, int]] = {}
    try:
        with Netfilter() as kernel:
            for direction in Direction:
                counts = found[direction] = {}
                for family in FAMILIES:
                    name = denied_set(direction, family)
                    what = f"tell the elements of set {name} of table {TABLE}"
                    for interface, packets in counted(
                        await kernel.dump(GET_ELEMENTS, _reference(name), what)
                    ):
                        counts[interface] = counts.get(interface, 0) + packets
    except (NetlinkError, OSError) as error:
        raise RulesetError(f"denied packets cannot be read: {error}") from error
    return found


def counted(bodies: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    """The names of interfaces that keys begin with, and the packets counted with each. Pure.

    Args:
        bodies: of the kernel's messages.
    """
    for body in bodies:
        listed = attributes(body, len(HEADER)).get(LIST_ELEMENTS, b"")
        for kind, item in items(listed):
            if kind == LIST_ITEM:
                element = attributes(item)
                key = attributes(element[KEY])[VALUE]
                yield text(key[:NAME_BYTES]), _packets(element.get(EXPRESSION, b""))


def _packets(expression: bytes) -> int:
    found = attributes(expression)
    if text(found.get(EXPRESSION_NAME, b"")) != "counter":
        return 0
    return int.from_bytes(attributes(found[EXPRESSION_DATA])[COUNTER_PACKETS], "big")


def _reference(name: str) -> bytes:
    table = text_bytes(TABLE.split()[1])
    return HEADER + attribute(LIST_TABLE, table) + attribute(LIST_SET, text_bytes(name))
