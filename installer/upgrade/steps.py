"""In what order an upgrade goes over hosts. Pure: a plan and what is known of nodes in, steps out.

Controllers first, one at a time, as far as the control plane goes; hosts that are new; then hosts
whose pods stay where they are, all at once; then those that are drained: controllers one at a time,
nodes in batches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from installer.cluster import Cluster
from installer.engine.plan import Plan
from installer.events import VersionChange
from installer.resources import Service
from installer.upgrade.versions import CONTROL_PLANE, DRAINED

CONTROL_ROLES = (
    "base",
    "pki",
    "balancer",
    "etcd-lost",
    "etcd",
    "control-plane",
    "network-objects",
)
"""What a controller gets before any kubelet is touched, so that none is ever newer than an API
server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Names of hosts, each group in its order."""

    control_plane: tuple[str, ...]
    joining: tuple[str, ...]
    undisturbed: tuple[str, ...]
    controllers: tuple[str, ...]
    """Drained one at a time."""
    nodes: tuple[str, ...]
    """Drained in batches."""

    @property
    def drained(self) -> tuple[str, ...]:
        """All whose pods go elsewhere meanwhile."""
        return self.controllers + self.nodes


def rolls(changes: Sequence[VersionChange]) -> bool:
    """Whether hosts have to go one after the other."""
    return any(change.program in (*CONTROL_PLANE, *DRAINED) for change in changes)


def steps(
    plan: Plan,
    cluster: Cluster,
    changes: Sequence[VersionChange],
    *,
    known: Collection[str],
    held: Collection[str],
) -> Steps:
    """The order of a plan's hosts.

    Args:
        plan: what has to be done.
        cluster: whose hosts they are.
        changes: versions that the plan changes.
        known: names of nodes that the API has; a host that is none yet is new.
        held: names of nodes that a run before has taken out of service and not given back.
    """
    pending = dict.fromkeys(work.host for work in plan.works if work.changes)
    drained = {change.host for change in changes if change.drain} | set(held)
    there = [host for host in cluster.hosts if host.name in pending or host.name in held]
    old = [host for host in there if host.name in known]
    return Steps(
        control_plane=tuple(
            host.name for host in old if host.is_controller and _control_plane(plan, host.name)
        ),
        joining=tuple(host.name for host in there if host.name not in known),
        undisturbed=tuple(host.name for host in old if host.name not in drained),
        controllers=tuple(h.name for h in old if h.name in drained and h.is_controller),
        nodes=tuple(h.name for h in old if h.name in drained and not h.is_controller),
    )


def control_part(plan: Plan, host: str) -> Plan:
    """What a controller gets in the control plane's turn."""
    works = (work for work in plan.works if work.host == host and work.role in CONTROL_ROLES)
    return replace(plan, works=tuple(works), unreachable=())


def rest(plan: Plan, hosts: Collection[str], control_plane: Collection[str]) -> Plan:
    """What hosts get in their own turn: all but what those of `control_plane` have got already."""
    works = (
        work
        for work in plan.works
        if work.host in hosts and not (work.host in control_plane and work.role in CONTROL_ROLES)
    )
    return replace(plan, works=tuple(works), unreachable=())


def _control_plane(plan: Plan, host: str) -> bool:
    """Whether a service of the control plane restarts on a host."""
    return any(
        isinstance(resource, Service) and resource.name in CONTROL_PLANE
        for work in plan.works
        if work.host == host
        for resource, _ in work.changes
    )
