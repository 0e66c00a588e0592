"""Hosts that are in no inventory any more, and whose nodes the cluster still has: they are let go.

What an earlier inventory said of them is kept with the cluster until they are gone, so that a run
that is killed in between is taken up by the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

from installer import platforms
from installer.cluster import Cluster, Host
from installer.commands import clusters
from installer.commands.preparing import connected, gather_all
from installer.departure import Departure, Patience, empty, forget, registered
from installer.engine.apply import apply
from installer.engine.plan import Plan, probe_all, wanted
from installer.errors import HostError, InstallerError
from installer.events import Emit, Event, Notice, ResourceResult
from installer.hosts.session import Session
from installer.roles.leaving import leaving, target

_FORMER = "former"
"""Where the inventory of before is kept, in the cluster's state directory."""
_KEPT = (clusters.RECORD, "inventory.yml")


def find(cluster: Cluster) -> tuple[str, ...]:
    """Nodes of ours that the cluster has and the inventory has not. None is found while the API
    server does not answer: they are let go once it does."""
    if not cluster.kubeconfig.exists():
        return ()
    try:
        there = registered(cluster)
    except InstallerError:
        return ()
    wanted_names = {host.name for host in cluster.hosts}
    return tuple(name for name in there if name not in wanted_names)


def remember(cluster: Cluster) -> None:
    """Keeps the inventory of the last run, before this run's is recorded."""
    former = cluster.state / _FORMER
    if former.exists():
        return
    new = former.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    for name in _KEPT:
        if (cluster.state / name).exists():
            shutil.copy(cluster.state / name, new / name)
    new.rename(former)


def let_go(cluster: Cluster, names: Sequence[str], patience: Patience, emit: Emit) -> str:
    """Empties the nodes, takes everything of ours off their hosts, and has the cluster forget
    them. A host that cannot be reached is only forgotten, which is said.

    Args:
        cluster: that goes on; its kubeconfig is written.
        names: of the nodes.
        patience: with their pods.
        emit: is told everything.

    Returns:
        What stopped it, or nothing.

    Raises:
        DrainFailed: a node could not be emptied.
        ApiError: the API server cannot be asked.
    """
    former = _former(cluster)
    hosts = [host for host in former.hosts if host.name in names]
    with connected(former, hosts, _warning(emit)) as sessions:
        departures = tuple(Departure(node=name, reachable=name in sessions) for name in names)
        empty(cluster, departures, patience, emit)
        there = [host for host in hosts if host.name in sessions]
        applied = apply(plan_leaving(former, there, sessions, emit), sessions, emit)
        if applied.failures:
            first = applied.failures[0]
            return f"stopped in role {first.role} on {first.host} because {first.reason}"
    forget(cluster, departures, emit)
    for each in departures:
        if not each.reachable:
            text = f"{each.node} could not be reached: the cluster has forgotten it, but it runs on"
            advice = "switch it off, or its identity stays good until its certificates end"
            emit(Notice(text=f"{text}; {advice}", level="warning"))
    shutil.rmtree(cluster.state / _FORMER, ignore_errors=True)
    return ""


def _former(cluster: Cluster) -> Cluster:
    """The cluster as the inventory of before had it, with the ways to its hosts."""
    directory = cluster.state / _FORMER
    try:
        found = clusters.recorded(cluster, directory)
    except (InstallerError, OSError, ValueError):
        return replace(cluster, hosts=())
    return platforms.of(found).attach(found)


def _warning(emit: Emit) -> Emit:
    """A host that leaves may be dead: that is no failure of the run."""

    def tell(event: Event) -> None:
        if isinstance(event, ResourceResult):
            event_text = f"{event.host} leaves and cannot be reached: {event.reason}"
            emit(Notice(text=event_text.splitlines()[0], level="warning"))
        else:
            emit(event)

    return tell


def plan_leaving(
    cluster: Cluster, hosts: Sequence[Host], sessions: Mapping[str, Session], emit: Emit
) -> Plan:
    """What has to go from hosts, found in two round trips to each.

    Args:
        cluster: that they belong to, or belonged to.
        hosts: to look at; those without a session are left out.
        sessions: by host name.
        emit: is told which hosts cannot be asked.
    """
    roles = leaving()
    facts = gather_all(replace(cluster, hosts=tuple(hosts)), sessions, emit)
    everything = [
        wanted(roles, target(cluster, host, facts[host.name]))
        for host in hosts
        if host.name in facts
    ]
    plan = probe_all(roles, everything, sessions)
    for error in plan.unreachable:
        emit(_unasked(error))
    return plan


def _unasked(error: HostError) -> ResourceResult:
    return ResourceResult(
        host=error.host, role="probe", resource="ssh", outcome="unreachable", reason=error.message
    )
