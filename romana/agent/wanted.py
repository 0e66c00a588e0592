"""The routes that a host should have, worked out again only when what they depend on changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_

from romana.dataplane import links
from romana.dataplane.routes import Route, wanted_routes
from romana.objects import Address, AddressBlock, Key, Network, Node, Snapshot
from romana.policy.admission import Endpoint

Basis = tuple[
    Mapping[Key, Node],
    Mapping[Key, AddressBlock],
    Sequence[Endpoint],
    frozenset[Network],
    tuple[Address, ...],
    frozenset[str],
    str,
    tuple[Address, ...],
]
"""What routes depend on: nodes, blocks, endpoints; segments, the node's addresses, interfaces, the
node's name, gateways."""


class WantedRoutes:
    """Remembers the routes that were wanted last."""

    def __init__(self) -> None:
        self._basis: Basis | None = None
        self._routes: frozenset[Route] = frozenset()

    def routes(
        self,
        snapshot: Snapshot,
        name: str,
        endpoints: Sequence[Endpoint],
        segments: frozenset[Network],
        addresses: tuple[Address, ...],
        gateways: tuple[Address, ...] = (),
    ) -> frozenset[Route]:
        """The routes as they should be now, to those pods whose interfaces are there: the same
        value while nothing that they depend on has changed.

        Args:
            snapshot: all objects.
            name: this host's.
            endpoints: this host's.
            segments: networks of this host's interfaces.
            addresses: this host's, as a node.
            gateways: to nodes beyond the segments.
        """
        interfaces = links.interfaces()
        basis: Basis = (
            snapshot.nodes,
            snapshot.blocks,
            endpoints,
            segments,
            addresses,
            interfaces,
            name,
            gateways,
        )
        if self._basis is None or not _unchanged(self._basis, basis):
            there = [each for each in endpoints if each.interface in interfaces]
            self._routes = wanted_routes(snapshot, name, there, segments, addresses, gateways)
            self._basis = basis
        return self._routes


def _unchanged(old: Basis, new: Basis) -> bool:
    """Whether routes depend on the same: the large ones are compared as objects."""
    return all(map(is_, old[:3], new[:3])) and old[3:] == new[3:]
