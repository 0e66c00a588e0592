"""Asks hosts and API server, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Protocol

from installer.cluster import Cluster, Host
from installer.errors import InstallerError
from installer.kubernetes import Api, read
from installer.status import reading
from installer.status.values import ClusterStatus, HostStatus, NodeStatus

_TIMEOUT_S = 20.0


class Printed(Protocol):
    """What a script on a host printed."""

    @property
    def stdout(self) -> str:
        """Its standard output."""


class HostShell(Protocol):
    """A host on which scripts can be run; an engine's session is one."""

    def run(self, script: str, *, timeout_s: float = 60) -> Printed:
        """Runs POSIX sh text as root."""


def status(cluster: Cluster, connections: Mapping[str, HostShell]) -> ClusterStatus:
    """The cluster as it is now. What cannot be asked is part of the answer, never an error.

    Args:
        cluster: its hosts; the kubeconfig is in its state directory.
        connections: to the hosts that could be reached, by name.
    """
    return asyncio.run(_status(cluster, connections))


async def _status(cluster: Cluster, connections: Mapping[str, HostShell]) -> ClusterStatus:
    asking = [
        _host(host, connections.get(host.name), balanced=cluster.balanced) for host in cluster.hosts
    ]
    answer, hosts = await asyncio.gather(_api(cluster), asyncio.gather(*asking))
    server, version, nodes, problem = answer
    return ClusterStatus(
        name=cluster.name,
        at=datetime.now(timezone.utc),
        api=server,
        kubernetes=version,
        api_problem=problem,
        hosts=tuple(hosts),
        nodes=nodes,
        snapshots_s=cluster.snapshots.every_s,
    )


async def _host(host: Host, connection: HostShell | None, *, balanced: bool) -> HostStatus:
    if connection is None:
        return reading.lost(host, "no SSH connection")
    try:
        printed = await asyncio.to_thread(
            connection.run, reading.script(host, balanced=balanced), timeout_s=_TIMEOUT_S
        )
    except InstallerError as error:
        return reading.lost(host, error.message)
    return reading.host_status(host, printed.stdout)


async def _api(cluster: Cluster) -> tuple[str, str, tuple[NodeStatus, ...], str]:
    """Where the API server is, its version, the nodes, and why it does not answer."""
    server = ""
    try:
        access = read(cluster.kubeconfig)
        server = access.server
        async with Api(access) as api:
            version, nodes, pods = await asyncio.gather(
                api.get("/version"), api.get("/api/v1/nodes"), api.get("/api/v1/pods")
            )
    except InstallerError as error:
        return server, "", (), error.message
    return server, str(version["gitVersion"]), reading.nodes(nodes, pods), ""
