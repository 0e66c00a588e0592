"""What must hold of control planes before and after one of them is touched: gates as values, made
of the plan's own services, and a look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from installer.engine.outcome import first_line
from installer.engine.parallel import over_hosts
from installer.engine.plan import Plan
from installer.engine.settling import settled
from installer.errors import HostError
from installer.hosts.session import Session
from installer.resources import Condition, Service
from installer.upgrade.versions import CONTROL_PLANE

LIMIT_S = 60
"""How long a service may take to be healthy again."""


def gates(plan: Plan, host: str) -> tuple[Condition, ...]:
    """The health of a controller's services: etcd, API server, controller manager, scheduler."""
    return tuple(
        Condition(
            f"{resource.name} is healthy",
            holds=resource.ready,
            evidence=resource.init.log(resource.name, 5),
            timeout_s=LIMIT_S,
        )
        for work in plan.works
        if work.host == host
        for resource in work.resources
        if isinstance(resource, Service) and resource.name in CONTROL_PLANE
    )


def failing(plan: Plan, hosts: Sequence[str], sessions: Mapping[str, Session]) -> str:
    """Which gate of these controllers is closed, after its time to open; empty where all are open.
    A controller without a session counts as closed."""

    def one(host: str) -> str:
        if host not in sessions:
            return f"{host} cannot be reached"
        verdicts = settled(sessions[host], gates(plan, host))
        closed = [verdict for verdict in verdicts if verdict.change or verdict.error]
        if not closed:
            return ""
        name = closed[0].resource.id.removeprefix("condition:")
        return f"not within {LIMIT_S} s on {host}: {name}"

    for outcome in over_hosts(one, hosts):
        said = first_line(outcome.message) if isinstance(outcome, HostError) else outcome
        if said:
            return said
    return ""
