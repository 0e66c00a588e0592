"""Live connections, from the kernel's conntrack table: those that concern given addresses, and the
end of exactly those that are no longer admitted. Speaks netlink (ctnetlink): the conntrack tool
cannot delete an entry by its identity, and takes a process for each.

Layout: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from romana.dataplane.messages import NESTED, attribute, attributes
from romana.dataplane.requests import Netfilter
from romana.objects import Address
from romana.policy.admission import Flow

GET, DELETE = 0x101, 0x102
"""Of subsystem 1, ctnetlink."""
ORIGINAL, REPLY, IDENTITY, ZONE = 1, 2, 12, 18
TUPLE_ADDRESSES, TUPLE_PROTOCOL = 1, 2
SOURCE4, DESTINATION4, SOURCE6, DESTINATION6 = 1, 2, 3, 4
PROTOCOL_NUMBER, SOURCE_PORT, DESTINATION_PORT = 1, 2, 3

BATCH = 64
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An entry of the conntrack table.

    Args:
        flow: its first packet after destination NAT.
        source_port: the port it came from; 0 where the protocol has none.
        target: the destination before NAT.
        target_port: its port before NAT.
        key: the kernel's own encoding of what identifies the entry.
    """

    flow: Flow
    source_port: int
    target: Address
    target_port: int
    key: bytes

    def __str__(self) -> str:
        """In a few words."""
        flow = self.flow
        via = f" (by {self.target}:{self.target_port})" if self.target != flow.destination else ""
        source, destination = f"{flow.source}:{self.source_port}", f"{flow.destination}:{flow.port}"
        return f"protocol {flow.protocol} {source} -> {destination}{via}"


async def live(addresses: Collection[Address]) -> tuple[Connection, ...]:
    """The live connections from or to the addresses, whichever side opened them, before or after
    NAT.

    Args:
        addresses: of this host's pods, mostly.

    Raises:
        NetlinkError: the kernel refused.
    """
    found: list[Connection] = []
    for version in (4, 6):
        packed = [each.packed for each in addresses if each.version == version]
        if packed:
            found.extend(await _dump(version, packed))
    wanted = frozenset(addresses)
    return tuple(
        each
        for each in found
        if not wanted.isdisjoint((each.flow.source, each.flow.destination, each.target))
    )


async def cut(connections: Iterable[Connection]) -> int:
    """End connections: their next packet is judged as that of a new one. Those that ended by
    themselves are no error.

    Returns:
        How many there still were.

    Raises:
        NetlinkError: the kernel refused.
    """
    ended = 0
    with Netfilter() as kernel:
        keys = [each.key for each in connections]
        for at in range(0, len(keys), BATCH):
            ended += await kernel.order(DELETE, keys[at : at + BATCH], "end a connection")
    return ended


async def cut_denied(
    addresses: Collection[Address],
    admits: Callable[[Flow], bool],
) -> tuple[Connection, ...]:
    """End exactly the live connections of the addresses that are not admitted.

    Args:
        addresses: of this host's pods.
        admits: the judge of a connection's first packet.

    Returns:
        The connections that were ended.

    Raises:
        NetlinkError: the kernel refused.
    """
    denied = tuple(each for each in await live(addresses) if not admits(each.flow))
    await cut(denied)
    return denied


def parse_connection(body: bytes) -> Connection | None:
    """Read one entry of a dump; None where it has no such addresses. Pure."""
    found = attributes(body, 4)
    original, reply = found.get(ORIGINAL), found.get(REPLY)
    if original is None or reply is None:
        return None
    source, target, protocol, source_port, target_port = _tuple(original)
    destination, _, _, port, _ = _tuple(reply)
    key = body[:4] + b"".join(
        attribute(kind | flag, found[kind])
        for kind, flag in ((ORIGINAL, NESTED), (ZONE, 0), (IDENTITY, 0))
        if kind in found
    )
    return Connection(
        flow=Flow(source=source, destination=destination, protocol=protocol, port=port),
        source_port=source_port,
        target=target,
        target_port=target_port,
        key=key,
    )


def _tuple(data: bytes) -> tuple[Address, Address, int, int, int]:
    """Source, destination, protocol, source port and destination port of one direction."""
    found = attributes(data)
    addresses = attributes(found[TUPLE_ADDRESSES])
    protocol = attributes(found[TUPLE_PROTOCOL])
    source = addresses.get(SOURCE4) or addresses[SOURCE6]
    destination = addresses.get(DESTINATION4) or addresses[DESTINATION6]
    return (
        ip_address(source),
        ip_address(destination),
        protocol[PROTOCOL_NUMBER][0],
        int.from_bytes(protocol.get(SOURCE_PORT, b""), "big"),
        int.from_bytes(protocol.get(DESTINATION_PORT, b""), "big"),
    )


async def _dump(version: int, packed: list[bytes]) -> list[Connection]:
    family = bytes((_FAMILIES[version], 0, 0, 0))
    with Netfilter() as kernel:
        bodies = await kernel.dump(GET, family, "list connections")
    # A busy host has hundreds of thousands: in a thread, others go on meanwhile.
    return await asyncio.to_thread(_concerning, bodies, _any_of(packed))


def _concerning(bodies: Iterable[bytes], concerned: re.Pattern[bytes]) -> list[Connection]:
    """The connections in whose entries the pattern is found somewhere: most entries are others',
    and are passed over before they are taken apart."""
    parsed = (parse_connection(body) for body in bodies if concerned.search(body))
    return [each for each in parsed if each is not None]


def _any_of(packed: Iterable[bytes]) -> re.Pattern[bytes]:
    """A pattern that finds any of the addresses. Those that differ in their last byte only, as
    those of a block do, are one alternative: its cost grows with the number of alternatives."""
    groups: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for each in packed:
        groups[each[:-1]].add(each[-1:])
    alternatives = (
        re.escape(start) + b"[" + b"".join(map(re.escape, sorted(ends))) + b"]"
        for start, ends in groups.items()
    )
    return re.compile(b"|".join(alternatives), re.DOTALL)
