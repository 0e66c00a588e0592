"""What a run does when versions change: refuses what is not legal before anything is touched, says
what goes from where to where, and goes over the hosts one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from installer.artifacts import Artifacts
from installer.cluster import Cluster, Host
from installer.commands import taking
from installer.engine.apply import Applied, apply
from installer.engine.plan import Plan
from installer.errors import Problem, UpgradeRefused
from installer.events import Emit, VersionChange
from installer.hosts.facts import Facts
from installer.hosts.session import Session
from installer.resources import Archive, Binary, Package, Service
from installer.roles.brought import python_version
from installer.roles.brought import wanted as brought
from installer.upgrade import path, survey
from installer.upgrade.settings import Settings
from installer.upgrade.steps import rolls
from installer.upgrade.versions import Installed

_VERSIONED = (Archive, Binary, Package, Service)
"""What may stand for another version of a program."""


class Moves:
    """From which versions to which a run goes. Hosts are asked once, and only when it matters.

    Args:
        cluster: as the inventory says.
        hosts: those that the run is for.
        facts: of all hosts that answered.
        sessions: to them.
    """

    def __init__(
        self,
        cluster: Cluster,
        hosts: Sequence[Host],
        facts: Mapping[str, Facts],
        sessions: Mapping[str, Session],
    ) -> None:
        self._cluster = cluster
        self._hosts = [host for host in hosts if host.name in facts]
        self._facts = facts
        self._sessions = sessions
        self._now: Installed | None = None

    def require_legal(self, kubernetes: str) -> None:
        """Refuses a version before it is fetched.

        Raises:
            UpgradeRefused: with the legal way.
        """
        self._legal(survey.wanted(self._asked(), self._cluster, self._hosts, kubernetes))

    def of(self, plan: Plan, had: Artifacts) -> tuple[VersionChange, ...]:
        """The versions that a plan changes.

        Raises:
            UpgradeRefused: it may not; with the legal way.
        """
        changing = (resource for work in plan.works for resource, _ in work.changes)
        if not any(isinstance(resource, _VERSIONED) for resource in changing):
            return ()
        laid = {host.name: self._laid(host, had) for host in self._hosts}
        then = survey.wanted(self._asked(), self._cluster, self._hosts, had.kubernetes, laid)
        self._legal(then)
        return survey.changes(self._asked(), then)

    def _laid(self, host: Host, had: Artifacts) -> dict[str, str]:
        facts = self._facts[host.name]
        names = brought(facts, controller=host.is_controller)
        return {
            "romana": had.release(python_version(facts)).version,
            **{
                name: had.upstream[name].version for name in ("containerd", "etcd") if name in names
            },
        }

    def _asked(self) -> Installed:
        if self._now is None:
            self._now = survey.ask(self._sessions, self._facts)
        return self._now

    def _legal(self, then: Installed) -> None:
        problems: tuple[Problem, ...] = path.refusals(self._asked(), then)
        if problems:
            raise UpgradeRefused("these versions cannot be gone to; nothing was changed", problems)


def carry_out(
    cluster: Cluster,
    plan: Plan,
    changes: Sequence[VersionChange],
    sessions: Mapping[str, Session],
    emit: Emit,
    settings: Settings,
    *,
    continuing: bool,
) -> Applied:
    """Carries a plan out: on all hosts at once, or, where that would take the cluster down, one
    after the other.

    Args:
        cluster: with a kubeconfig, if it was ever complete.
        plan: what has to be done.
        changes: versions that it changes.
        sessions: by host name.
        emit: is told everything.
        settings: of a roll-out.
        continuing: whether the run before ended early, or another version was only begun.
    """
    rolling = rolls(changes)
    if not cluster.kubeconfig.exists() or not (rolling or continuing):
        return apply(plan, sessions, emit)
    # The API's client takes longer to import than a run with nothing to do.
    from installer.kubernetes import Api, read
    from installer.upgrade.rollout import RollingOut, taken_out

    def snapshot() -> str:
        now = datetime.now(timezone.utc)
        path = taking.place(cluster, None, taking.name_of(cluster, now))
        return taking.take(cluster, sessions, path, now, emit)

    roll_out = RollingOut(
        cluster=cluster,
        plan=plan,
        changes=changes,
        sessions=sessions,
        emit=emit,
        settings=settings,
        snapshot=snapshot,
    )

    async def go() -> Applied | None:
        async with Api(read(cluster.kubeconfig)) as api:
            if rolling or await taken_out(api):
                return await roll_out.run(api)
        return None

    return asyncio.run(go()) or apply(plan, sessions, emit)
