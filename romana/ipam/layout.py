"""Where address blocks lie: pure arithmetic on prefixes.

The pod network is cut into equal shares, one for each zone, so that one route covers a zone however
many hosts it has or gets; a zone's share is cut into blocks, and hosts claim those one at a time.
Nothing is stored: the same configuration gives the same layout on every host.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network
from itertools import accumulate

from romana.objects import Address, Network


class LayoutError(ValueError):
    """The prefixes, zones and block size do not fit together; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The layout of a cluster's pod addresses.

    Args:
        cidrs: the pod network's prefixes, IPv4 or IPv6.
        zones: all zones, in an order that must never change: a zone's place decides its share. New
        ones are appended,
            within the next power of two.
        block_size: prefix length of an IPv4 block.
        block_size_v6: prefix length of an IPv6 block.

    Raises:
        LayoutError: a zone's share would not hold a single block.
    """

    cidrs: tuple[Network, ...]
    zones: tuple[str, ...] = ("default",)
    block_size: int = 25
    block_size_v6: int = 121

    def __post_init__(self) -> None:
        if len(set(self.zones)) != len(self.zones) or not self.zones:
            raise LayoutError("zones must be named, each once")
        for cidr in self.cidrs:
            size = self.size_in(cidr)
            if size > cidr.max_prefixlen - 2:
                raise LayoutError(f"blocks of /{size} have no address for a pod")
            if cidr.prefixlen + self.zone_bits > size:
                fits = 1 << max(size - cidr.prefixlen, 0)
                raise LayoutError(
                    f"{cidr} holds {fits} blocks of /{size}, too few for {len(self.zones)} zones"
                )

    @property
    def zone_bits(self) -> int:
        """How many bits of an address name the zone."""
        return (len(self.zones) - 1).bit_length()

    def size_in(self, cidr: Network) -> int:
        """Prefix length of the blocks in a prefix."""
        return self.block_size if cidr.version == 4 else self.block_size_v6

    def shares(self, zone: str) -> tuple[Network, ...]:
        """The prefixes of a zone, one in each of the pod network's.

        Raises:
            LayoutError: there is no such zone.
        """
        if zone not in self.zones:
            raise LayoutError(f"zone `{zone}` is not one of {', '.join(self.zones)}")
        return tuple(
            _part(cidr, cidr.prefixlen + self.zone_bits, self.zones.index(zone))
            for cidr in self.cidrs
        )

    def candidates(
        self,
        zone: str,
        node: str,
        version: int,
        taken: Collection[Network],
        near: Network | None = None,
    ) -> Iterator[Network]:
        """Blocks that a host may try to claim, best first: those of its zone that nobody holds, in
        order, beginning at a place that differs from host to host, so that hosts that start
        together do not all ask for the same one.

        Args:
            zone: the host's.
            node: the host's name.
            version: the address family.
            taken: blocks that are held.
            near: the prefix to begin with, where the fabric has a route to the host for it.
        """
        for share in self.shares(zone):
            if share.version != version:
                continue
            size = self.size_in(share)
            count = 1 << (size - share.prefixlen)
            digest = blake2b(node.encode(), digest_size=8).digest()
            start = int.from_bytes(digest, "big") % count
            if near is not None and _within(near, share):
                offset = int(near.network_address) - int(share.network_address)
                start = offset >> (share.max_prefixlen - size)
            held = _Held(taken)
            for step in range(count):
                block = _part(share, size, (start + step) % count)
                if block not in held:
                    yield block


class _Held:
    """Prefixes that are taken, of whatever size: blocks may have been claimed under another block
    size."""

    def __init__(self, prefixes: Collection[Network]) -> None:
        spans = sorted(
            (each.version, int(each.network_address), int(each.broadcast_address))
            for each in prefixes
        )
        self._lows = [(version, low) for version, low, _ in spans]
        highs = accumulate(((version, high) for version, _, high in spans), max)
        self._highs = list(highs)

    def __contains__(self, block: Network) -> bool:
        """Whether a block shares an address with one of them."""
        before = bisect_right(self._lows, (block.version, int(block.broadcast_address)))
        if not before:
            return False
        return self._highs[before - 1] >= (block.version, int(block.network_address))


def usable(block: Network) -> range:
    """The addresses of a block that pods may get, as integers. The first and the last are left
    alone: some software takes addresses ending in .0 and .255 for a network's own.
    """
    first = int(block.network_address)
    return range(first + 1, first + block.num_addresses - 1)


def holding(blocks: Sequence[Network], address: Address) -> Network | None:
    """The block that an address lies in, or None."""
    return next(
        (block for block in blocks if address.version == block.version and address in block), None
    )


def _within(near: Network, share: Network) -> bool:
    return near.version == share.version and near.network_address in share


def _part(cidr: Network, size: int, index: int) -> Network:
    """The prefix of length `size` at place `index` within a prefix."""
    first = int(cidr.network_address) + (index << (cidr.max_prefixlen - size))
    return IPv4Network((first, size)) if cidr.version == 4 else IPv6Network((first, size))
