"""Takes a cluster off its hosts: all of them, or some of a cluster that lives on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from installer import platforms
from installer.cluster import Cluster, Host
from installer.commands import clusters, fixed
from installer.commands.clusters import Wish
from installer.commands.converge import claim, copied_state
from installer.commands.departing import plan_leaving
from installer.commands.preparing import connected
from installer.commands.reporting import Reporting, utc
from installer.commands.showing import show, trips
from installer.departure import Departure, Patience, settle
from installer.engine import cluster_lock, lock
from installer.engine.apply import apply
from installer.engine.plan import Plan
from installer.errors import InstallerError
from installer.events import Notice, Recap, RunStarted
from installer.hosts.session import Session
from installer.observers.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to go about it.

    Args:
        check: only say what would be taken off.
        limit: names of hosts; empty for all.
        give_up: whether the cluster may lose the majority of its controllers.
        take_over: take the cluster's lock from a run elsewhere that is dead.
        patience: with pods that have to move first.
        confirm: a question in, whether to go on out.
    """

    check: bool = False
    limit: tuple[str, ...] = ()
    give_up: bool = False
    take_over: bool = False
    patience: Patience = Patience()
    confirm: Callable[[str], bool] = lambda question: True


def reset(wish: Wish, how: How, reporting: Reporting) -> int:
    """Takes everything of ours off hosts; what was there before stays or comes back.

    Returns:
        The exit code: 0 done, 2 something would be taken off (check mode), 1 something failed.

    Raises:
        InstallerError: it could not begin, or not go on; says why.
    """
    cluster = clusters.known(wish)
    for name in how.limit:
        clusters.host_named(cluster, name)
    require_survival(cluster, how)
    run = _Resetting(how, reporting)
    if how.check:
        attached = platforms.of(cluster).attach(cluster)
        with copied_state(attached) as shadow:
            return run.check(shadow)
    with (
        lock.exclusive(cluster.state / "lock", reporting.command, utc()),
        reporting.kept(cluster),
    ):
        return run.run(platforms.of(cluster).attach(cluster))


def require_survival(cluster: Cluster, how: How) -> None:
    """Whether the cluster that is left has more than half of its controllers: etcd needs them.

    Raises:
        InstallerError: it has not, and nobody said that it may.
    """
    if how.give_up or _whole(cluster, how):
        return
    going = [host.name for host in cluster.controllers if host.name in how.limit]
    total = len(cluster.controllers)
    if going and (total - len(going)) * 2 <= total:
        raise InstallerError(
            f"without {', '.join(going)}, cluster {cluster.name} would have {total - len(going)} "
            f"of {total} controllers, and no control plane",
            "take all hosts off (leave --limit away), or say that the cluster may end: --give-up",
        )


def _whole(cluster: Cluster, how: How) -> bool:
    return not how.limit or {host.name for host in cluster.hosts} <= set(how.limit)


class _Resetting:
    """One run."""

    def __init__(self, how: How, reporting: Reporting) -> None:
        self._how = how
        self._emit = reporting.emit
        self._reporting = reporting
        self._started = time.monotonic()

    def check(self, cluster: Cluster) -> int:
        """Says what would be taken off."""
        hosts = self._begin(cluster, "check")
        tally = Tally(tuple(host.name for host in hosts))
        self._reporting.add(tally)
        with connected(cluster, hosts, self._emit) as sessions:
            plan = plan_leaving(cluster, hosts, sessions, self._emit)
            show(plan, self._emit)
            for name in self._departing(cluster):
                self._emit(Notice(text=f"node {name} leaves"))
            lost = _lost(plan, hosts)
            recap = Recap(
                hosts=tally.recap(trips(sessions), lost),
                seconds=time.monotonic() - self._started,
                pending=plan.pending,
            )
        self._emit(recap)
        failed = any(host.failed or host.unreachable for host in recap.hosts)
        return 1 if failed else 2 if plan.pending else 0

    def run(self, cluster: Cluster) -> int:
        """From the plan to the recap."""
        hosts = self._begin(cluster, "apply")
        tally = Tally(tuple(host.name for host in hosts))
        self._reporting.add(tally)
        with connected(cluster, cluster.hosts, self._emit) as sessions:
            mine = {host.name: sessions[host.name] for host in hosts if host.name in sessions}
            plan = plan_leaving(cluster, hosts, mine, self._emit)
            if plan.pending and not self._agreed(cluster, plan):
                note = ("nothing was taken off",)
                return self._recap(tally, sessions, plan, hosts, "", pending=True, notes=note)
            stopped = ""
            if plan.pending:
                with self._locked(cluster, sessions):
                    stopped = self._take_off(cluster, plan, mine)
            if not stopped and (lost := _lost(plan, hosts)):
                stopped = f"stopped on {', '.join(sorted(lost))} because it could not be reached"
            if not stopped and _whole(cluster, self._how):
                fixed.forget(cluster)
            return self._recap(tally, sessions, plan, hosts, stopped)

    def _begin(self, cluster: Cluster, mode: str) -> tuple[Host, ...]:
        hosts = tuple(
            host for host in cluster.hosts if not self._how.limit or host.name in self._how.limit
        )
        self._emit(
            RunStarted(
                command=self._reporting.command,
                cluster=cluster.name,
                mode="check" if mode == "check" else "apply",
                hosts=tuple(host.name for host in hosts),
                log=str(self._reporting.log_path or ""),
            )
        )
        return hosts

    def _departing(self, cluster: Cluster) -> tuple[str, ...]:
        """Nodes of a cluster that goes on without them."""
        if _whole(cluster, self._how) or self._how.give_up:
            return ()
        return self._how.limit

    def _agreed(self, cluster: Cluster, plan: Plan) -> bool:
        names = tuple(dict.fromkeys(work.host for work in plan.works if work.changes))
        where = ", ".join(names) if len(names) < 4 else f"{len(names)} hosts"
        self._reporting.pause()
        return self._how.confirm(f"Take cluster {cluster.name} off {where}, with all its pods?")

    def _locked(
        self, cluster: Cluster, sessions: Mapping[str, Session]
    ) -> contextlib.AbstractContextManager[None]:
        mine = claim(cluster, self._reporting.command)
        there = [sessions[host.name] for host in cluster.controllers if host.name in sessions]
        return cluster_lock.held(mine, there, self._emit, take_over=self._how.take_over)

    def _take_off(self, cluster: Cluster, plan: Plan, sessions: Mapping[str, Session]) -> str:
        """Pods first, where the cluster lives on; what stopped it, or nothing."""
        names = [name for name in self._departing(cluster) if name in sessions]
        departures = tuple(Departure(node=name) for name in names)
        if departures:
            settle.empty(cluster, departures, self._how.patience, self._emit)
        applied = apply(plan, sessions, self._emit)
        failed = {failure.host for failure in applied.failures}
        gone = tuple(each for each in departures if each.node not in failed)
        if gone:
            settle.forget(cluster, gone, self._emit)
        if not applied.failures:
            return ""
        first = applied.failures[0]
        return f"stopped in role {first.role} on {first.host} because {first.reason}"

    def _recap(
        self,
        tally: Tally,
        sessions: Mapping[str, Session],
        plan: Plan,
        hosts: Sequence[Host],
        stopped: str,
        *,
        pending: bool = False,
        notes: tuple[str, ...] = (),
    ) -> int:
        recap = Recap(
            hosts=tally.recap(trips(sessions), _lost(plan, hosts)),
            seconds=time.monotonic() - self._started,
            pending=pending,
            stopped=stopped,
            notes=notes,
        )
        self._emit(recap)
        failed = stopped or any(host.failed or host.unreachable for host in recap.hosts)
        return 1 if failed else 2 if pending else 0


def _lost(plan: Plan, hosts: Sequence[Host]) -> frozenset[str]:
    answered = {work.host for work in plan.works}
    return frozenset(host.name for host in hosts if host.name not in answered)
