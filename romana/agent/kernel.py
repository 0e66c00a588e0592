"""The kernel of this host, as the agent uses it: everything is compared, and only what differs is
written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from operator import is_
from pathlib import Path

from romana.agent.config import Config
from romana.agent.connections import Connections
from romana.agent.metrics import Metrics
from romana.agent.repairs import Repairs
from romana.agent.surroundings import Surroundings, look_around
from romana.agent.turns import Turns
from romana.agent.wanted import WantedRoutes
from romana.dataplane import links
from romana.dataplane.backends import Enforcement
from romana.dataplane.counted import DeniedPackets
from romana.dataplane.denials import DenialLog
from romana.dataplane.errors import DataplaneError, RouteError
from romana.dataplane.link_check import check
from romana.dataplane.links import PodLink
from romana.dataplane.nftables import Settings
from romana.dataplane.routes import (
    Route,
    apply_routes,
    pod_route,
    read_routes,
)
from romana.ipam.leases import Lease
from romana.objects import Address, Key, Node, Snapshot
from romana.policy.admission import Admission, Endpoint

FORWARDING = {
    4: Path("/proc/sys/net/ipv4/ip_forward"),
    6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}

log = logging.getLogger(__name__)

KernelError = DataplaneError


class Kernel:
    """Enforces admissions, keeps routes, makes and removes pods' interfaces.

    Args:
        config: of the agent.
        metrics: counts what it repairs.
    """

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config = config
        self._settings = Settings()
        self._configured: tuple[Config, Mapping[Key, Node], DenialLog | None] | None = None
        self._routes: frozenset[Route] | None = None
        self._wanted = WantedRoutes()
        self._around: Surroundings | None = None
        self._node: tuple[Address, ...] = config.node_addresses
        self._turns = Turns()
        self.denial_log: DenialLog | None = None
        """Of whose denied packets the kernel is to tell; the next round writes it."""
        self.enforcement = Enforcement(config.backend)
        self.connections = Connections(metrics)
        self.repairs = Repairs(metrics)

    @property
    def settings(self) -> Settings:
        """What of configuration and nodes is in the table."""
        return self._settings

    @property
    def addresses(self) -> frozenset[Address]:
        """This host's own addresses, as they were last seen."""
        return frozenset(self._around.addresses if self._around else ())

    @property
    def destinations(self) -> frozenset[str]:
        """Where this agent's routes lead, as far as it knows."""
        return frozenset(str(route.destination) for route in self._routes or ())

    def configure(self, config: Config) -> None:
        """Take a new configuration; the next round of the reconciler writes it."""
        self._config = config
        self.enforcement.choice = config.backend

    async def enforce(
        self,
        snapshot: Snapshot,
        endpoints: Sequence[Endpoint],
        admission: Admission,
        *,
        audit: bool,
    ) -> bool:
        """Bring the kernel to what is wanted.

        Args:
            snapshot: all objects.
            endpoints: this host's.
            admission: what they admit.
            audit: compare with what the kernel really holds, and repair what somebody else has
            changed.

        Returns:
            Whether the routes are complete too.

        Raises:
            DataplaneError: the policies could not be written; those of before are in force.
        """
        if audit or self._around is None:
            self._around = await look_around()
        self._node = self._config.node_addresses or _addresses(snapshot, self._config.name)
        self._configure(snapshot)
        await self.enforcement.apply(admission)
        self.connections.changed(admission, snapshot, self._around.addresses)
        if audit:
            await self._repair()
        return await self._route(snapshot, endpoints, audit=audit)

    async def attach(self, lease: Lease, name: str) -> PodLink:
        """Make a pod's interface.

        Returns:
            The interface as it was made.

        Raises:
            DataplaneError: it cannot be made; nothing of it is left.
        """
        link = self._link(lease, name, lease.netns)
        async with self._turns.together():
            await links.attach(link)
            if self._routes is not None:
                self._routes |= {
                    pod_route(link.interface, each, link.sources) for each in link.addresses
                }
        return link

    async def detach(self, interface: str) -> None:
        """Remove a pod's interface, with the routes to it; that it is not there is no error.

        Raises:
            DataplaneError: it is there and cannot be removed.
        """
        async with self._turns.together():
            await links.detach(interface)
            if self._routes is not None:
                self._routes = frozenset(each for each in self._routes if each.device != interface)

    async def verify(self, lease: Lease, name: str, netns: str) -> None:
        """See whether a pod's interface is as it was made.

        Raises:
            DataplaneError: it is not; the message says in what.
        """
        wrong = await check(self._link(lease, name, netns))
        if wrong:
            raise DataplaneError("; ".join(wrong))

    async def routes(self) -> frozenset[Route]:
        """Our routes as the kernel has them now.

        Raises:
            DataplaneError: they cannot be read.
        """
        return await read_routes()

    async def strangers(self, known: Iterable[str]) -> dict[str, tuple[Address, ...]]:
        """Pods' interfaces that are not among the known ones, with the addresses that routes lead
        to them.

        Raises:
            DataplaneError: the routes cannot be read.
        """
        unknown = links.interfaces() - frozenset(known)
        if not unknown:
            return {}
        found: dict[str, tuple[Address, ...]] = {}
        for each in await read_routes():
            if each.device in unknown:
                found[each.device] = (*found.get(each.device, ()), each.destination.network_address)
        return found

    async def dropped(self) -> Mapping[str, int]:
        """Packets dropped, by reason, since the table was last made.

        Raises:
            DataplaneError: they cannot be read.
        """
        return await self.enforcement.counters()

    async def denied(self) -> DeniedPackets:
        """Packets denied by policies, by direction and the endpoint's interface, since the endpoint
        or the table was made.

        Raises:
            DataplaneError: they cannot be read.
        """
        return await self.enforcement.denied()

    def has_interface(self, name: str) -> bool:
        """Whether this host has an interface."""
        return links.exists(name)

    def has_netns(self, path: str) -> bool:
        """Whether there is a network namespace at a path. An empty file that one was mounted on is
        none."""
        try:
            found = Path(path).stat()
        except OSError:
            return False
        return found.st_dev == Path("/proc/self/ns/net").stat().st_dev

    def _link(self, lease: Lease, name: str, netns: str) -> PodLink:
        around = self._around or Surroundings()
        mtu = self._config.mtu
        return PodLink(
            interface=lease.interface,
            netns=netns,
            name=name,
            addresses=lease.addresses,
            mtu=around.mtu(self._node) if mtu == "auto" else mtu,
            sources=self._node,
        )

    def _configure(self, snapshot: Snapshot) -> None:
        """Take what of configuration and nodes is in the table. Nodes are reached without
        masquerade: pod to node and back is as direct as pod to pod.
        """
        basis = (self._config, snapshot.nodes, self.denial_log)
        if self._configured is not None and all(map(is_, self._configured, basis)):
            return
        nodes = (address for node in snapshot.nodes.values() for address in node.addresses)
        settings = Settings(
            pod_networks=self._config.pods.layout().cidrs,
            direct_networks=(*self._config.unmasqueraded, *(ip_network(each) for each in nodes)),
            masquerade=self._config.masquerade,
            denial_log=self.denial_log,
        )
        if settings != self._settings:
            self._settings = self.enforcement.settings = settings
            _forward({cidr.version for cidr in settings.pod_networks})
        self._configured = basis

    async def _repair(self) -> None:
        """Put back what others have changed, and end what has passed meanwhile. A change of ours
        may have put it back already: nothing differs then, but something may have passed."""
        touched = self.repairs.suspected
        differences = await self.enforcement.drift()
        if differences:
            self.repairs.policies(differences)
            await self.enforcement.repair()
            self.repairs.repaired(self.enforcement.drifted)
        else:
            self.repairs.nothing()
        if differences or touched:
            self.connections.doubt()

    async def _route(
        self, snapshot: Snapshot, endpoints: Sequence[Endpoint], *, audit: bool
    ) -> bool:
        """Bring the routes to what is wanted. One that cannot be written keeps no policy from being
        enforced."""
        wanted = self._wanted_routes(snapshot, endpoints)
        if not audit and self._routes is not None and self._routes == wanted:
            self._routes = wanted
            return True
        async with self._turns.alone():
            wanted, known = self._wanted_routes(snapshot, endpoints), self._routes
            try:
                changes = await apply_routes(wanted)
            except RouteError as error:
                log.warning("some routes are missing; trying again", extra={"reason": str(error)})
                self._routes = None
                return False
            self._routes = wanted
        if changes and known == wanted:
            self.repairs.routes(changes)
        return True

    def _wanted_routes(self, snapshot: Snapshot, endpoints: Sequence[Endpoint]) -> frozenset[Route]:
        """The routes as they should be now: to those pods whose interfaces are there."""
        assert self._around is not None
        around, name = self._around, self._config.name
        gateways = self._config.next_hops
        return self._wanted.routes(snapshot, name, endpoints, around.segments, self._node, gateways)


def _addresses(snapshot: Snapshot, name: str) -> tuple[Address, ...]:
    node = snapshot.nodes.get(("", name))
    return node.addresses if node else ()


def _forward(versions: set[int]) -> None:
    """See to it that this host forwards packets."""
    for version in versions:
        path = FORWARDING[version]
        if path.read_text().strip() == "0":
            path.write_text("1")
            log.info("switched on forwarding", extra={"setting": path})
