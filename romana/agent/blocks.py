"""This host's address blocks: which it holds, and how it gets another."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from romana.agent.errors import NO_ADDRESS, RequestError
from romana.agent.store import Store
from romana.ipam.layout import Layout
from romana.objects import AddressBlock, Network
from romana.sources.api import Api, ApiError
from romana.sources.kinds import BLOCK

MAX_ATTEMPTS = 64
"""Claims that others were faster with before it is given up for this time."""

log = logging.getLogger(__name__)


class Claimer(Protocol):
    """Who can enter a block as claimed."""

    async def claim(self, block: AddressBlock) -> bool:
        """Claim a block; False where somebody else holds it.

        Raises:
            RequestError: no block can be claimed at present.
        """


class ApiClaimer:
    """Claims by creating the block's object: the API server lets one of two succeed."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def claim(self, block: AddressBlock) -> bool:
        """Claim a block; False where somebody else holds it."""
        manifest = {
            "apiVersion": BLOCK.api_version,
            "kind": BLOCK.name,
            "metadata": {"name": block.name},
            "spec": {"cidr": str(block.cidr), "node": block.node},
        }
        try:
            await self._api.create(BLOCK.path, manifest)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return False
            raise RequestError(
                NO_ADDRESS, f"block {block.cidr} cannot be claimed: {error}"
            ) from error
        return True


class ManifestClaimer:
    """With a directory of manifests the operator assigns blocks; the agent never does."""

    async def claim(self, block: AddressBlock) -> bool:
        """Refuse.

        Raises:
            RequestError: always.
        """
        raise RequestError(
            NO_ADDRESS,
            f"node {block.node} has no block with a free address",
            f"add an AddressBlock manifest for it, for example {block.cidr} as {block.name}",
        )


class Blocks:
    """The blocks of one node.

    Args:
        node: the node's name.
        zone: the node's zone.
        layout: the layout of the pod network.
        store: where the claimed blocks of all nodes are known.
        claimer: who enters a claim.
        near: the prefix of the zone that this node's claims begin in.
    """

    def __init__(
        self,
        *,
        node: str,
        zone: str,
        layout: Layout,
        store: Store,
        claimer: Claimer,
        near: Network | None = None,
    ) -> None:
        self._node = node
        self._zone = zone
        self._layout = layout
        self._store = store
        self._claimer = claimer
        self._near = near
        self._turn = asyncio.Lock()

    def configure(self, zone: str, layout: Layout, near: Network | None = None) -> None:
        """Take another layout for the claims to come; blocks that are held stay."""
        self._zone, self._layout, self._near = zone, layout, near

    @property
    def versions(self) -> tuple[int, ...]:
        """The address families of the pod network."""
        return tuple(sorted({cidr.version for cidr in self._layout.cidrs}))

    def own(self) -> tuple[Network, ...]:
        """The blocks that this node holds, in order."""
        found = [block.cidr for block in self._store.blocks() if block.node == self._node]
        return tuple(sorted(found, key=lambda block: (block.version, int(block.network_address))))

    async def claim(self, version: int, known: tuple[Network, ...]) -> Network:
        """Claim one more block.

        Args:
            version: the address family.
            known: what the caller took for this node's blocks; where it has got more in the
            meantime, that is enough.

        Raises:
            RequestError: there is none to be had.
        """
        async with self._turn:
            fresh = [
                block for block in self.own() if block not in known and block.version == version
            ]
            if fresh:
                return fresh[0]
            taken = {block.cidr for block in self._store.blocks()}
            candidates = self._layout.candidates(self._zone, self._node, version, taken, self._near)
            for _, cidr in zip(range(MAX_ATTEMPTS), candidates, strict=False):
                block = AddressBlock(cidr=cidr, node=self._node)
                if await self._claimer.claim(block):
                    self._store.put(BLOCK, block)
                    log.info("claimed an address block", extra={"block": cidr})
                    return cidr
        raise RequestError(
            NO_ADDRESS,
            f"zone {self._zone} has no free IPv{version} block",
            "add a prefix to `pods.cidrs`, or remove the AddressBlocks of nodes that are gone",
        )
