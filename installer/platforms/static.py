"""Servers that are there already: bare metal, or machines that something else made. Nothing is made
or removed; the inventory says how they are reached, and how packets get from one of their segments
to another."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from installer.cluster import Cluster
from installer.events import Emit, Notice
from installer.platforms.answering import endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterRoute:
    """What the router at a segment's gateway has to know of another segment: where its share of the
    pod network is. Any of `hosts` will do as the next hop, since each has routes to all the others
    of its segment; the router may spread the load over several."""

    share: IPv4Network
    segment: str
    hosts: tuple[IPv4Address, ...]

    def __str__(self) -> str:
        hosts = " or ".join(map(str, self.hosts))
        return f"{self.share} via {hosts} (segment {self.segment})"


def router_routes(cluster: Cluster) -> tuple[RouterRoute, ...]:
    """The routes that routers between the segments need: one for each zone. None where no host
    sends pods' packets to a router, or where all gateways are hosts of the cluster, which have all
    routes themselves."""
    own = {host.address for host in cluster.hosts}
    if all(host.gateway is None or host.gateway in own for host in cluster.hosts):
        return ()
    found = []
    for zone in cluster.zones:
        hosts = [host for host in cluster.hosts if host.zone == zone]
        if hosts:
            addresses = tuple(host.address for host in hosts)
            share = cluster.share(zone)
            found.append(RouterRoute(share=share, segment=hosts[0].segment, hosts=addresses))
    return tuple(found)


class Static:
    """Servers of an inventory."""

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """Nothing: the hosts are there."""
        return ()

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster as the inventory says it."""
        return cluster

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Says which routes the routers need; the hosts are there."""
        for route in router_routes(cluster):
            emit(Notice(text=f"the router between the segments needs a route: {route}"))
        return cluster

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """Nothing: hosts are reached from here, or through their bastion."""
        return ()

    def publish(self, cluster: Cluster) -> str:
        """The API server that answers, where the hosts reach it, or the operator's own balancer."""
        return endpoint(cluster)

    def destroy(self, cluster: Cluster, emit: Emit) -> None:
        """Says what is left: servers are not ours to end, and nothing takes off them what was
        installed."""
        names = ", ".join(host.name for host in cluster.hosts)
        emit(
            Notice(
                text=f"nothing was removed from {names}: the cluster runs on there, and only this "
                "machine forgets it",
                level="warning",
            )
        )
