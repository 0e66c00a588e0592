"""Which host holds which pod: by address, so that a pod that comes back is where it was. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from romana.objects import Address, AddressBlock, Network

BLOCK_SIZE = {4: 24, 6: 120}
"""Prefix length of a block, by address family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Blocks of pod addresses, each with the host that holds it."""

    blocks: Mapping[Network, str]

    def host(self, address: Address) -> str:
        """The host of the pod with this address."""
        return self.blocks[block_of(address)]

    @property
    def objects(self) -> tuple[AddressBlock, ...]:
        """The blocks as objects."""
        return tuple(AddressBlock(cidr=cidr, node=node) for cidr, node in self.blocks.items())


def block_of(address: Address) -> Network:
    """The block that an address lies in."""
    return ip_network((address, BLOCK_SIZE[address.version]), strict=False)


def place(addresses: Iterable[Address], hosts: tuple[str, ...]) -> Placement:
    """Deal the blocks of all addresses to the hosts in turn.

    Args:
        addresses: of every pod that will ever be there.
        hosts: their names.
    """
    blocks = sorted(
        {block_of(address) for address in addresses},
        key=lambda block: (block.version, int(block.network_address)),
    )
    return Placement(
        blocks={block: hosts[number % len(hosts)] for number, block in enumerate(blocks)}
    )
