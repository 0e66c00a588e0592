"""What becomes of etcd's members in a run: asks the controllers, and has it decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from installer.cluster import Cluster, Host
from installer.commands import fixed
from installer.engine.parallel import over_hosts
from installer.errors import HostError
from installer.etcd import Membership, Seen, decide
from installer.etcd.asking import peer, read, script
from installer.hosts.session import Session

_LIMIT_S = 30


def membership(cluster: Cluster, sessions: Mapping[str, Session]) -> Membership:
    """How etcd's members become the controllers of the inventory. A single controller that never
    had others is not asked: there is nothing to decide.

    Args:
        cluster: as wanted.
        sessions: to the hosts that can be reached.

    Raises:
        InstallerError: the majority, or the data, would be lost.
    """
    names = [host.name for host in cluster.controllers]
    before = fixed.controllers(cluster)
    if len(names) == 1 and before in ((), tuple(names)):
        return Membership(begins=names[0], through=tuple(names))

    def one(host: Host) -> Seen:
        return read(sessions[host.name].run(script(), timeout_s=_LIMIT_S).stdout)

    there = [host for host in cluster.controllers if host.name in sessions]
    answers = zip(there, over_hosts(one, there), strict=True)
    return decide(
        {host.name: peer(host.address) for host in cluster.controllers},
        {host.name: seen for host, seen in answers if not isinstance(seen, HostError)},
        exists=bool(before),
        mark=f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}",
    )
