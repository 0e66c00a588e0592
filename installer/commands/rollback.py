"""Goes back to the release of Romana that hosts had before: releases lie side by side on them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from installer import platforms
from installer.cluster import Cluster
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.commands.converge import claim
from installer.commands.preparing import connected, gather_all
from installer.commands.reporting import Reporting, utc
from installer.engine import cluster_lock, lock
from installer.engine.apply import Applied, apply
from installer.engine.parallel import over_hosts
from installer.engine.plan import Plan, Wanted, probe_all
from installer.errors import HostError, InstallerError
from installer.events import Emit, Notice, Recap, RunStarted, VersionChange, VersionChanges
from installer.hosts.facts import Facts
from installer.hosts.init import of
from installer.hosts.session import Session
from installer.observers.tally import Tally
from installer.resources import Condition
from installer.resources.records import STAMPS
from installer.resources.symlink import switch
from installer.roles.network import CURRENT, READY, RELEASES
from installer.roles.role import Role

_LIST = f"echo current $(readlink {CURRENT})\nls -1td {RELEASES}/*/ 2>/dev/null || :\n"
_PENDING = f"{STAMPS}/rollback"
"""On a host while its agent may still be the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """What a host holds: the release in use, and all, the last unpacked first."""

    current: str
    all: tuple[str, ...]

    def before(self, wanted: str) -> str:
        """The release to go to: the wanted one, whole or by its version alone; the one unpacked
        before the current one where none is named. Empty where there is none."""
        if wanted:
            return next((r for r in self.all if wanted in (r, r.partition("-py")[0])), "")
        if self.current not in self.all:
            return ""
        earlier = self.all[self.all.index(self.current) + 1 :]
        return earlier[0] if earlier else ""


def parse(text: str) -> Releases:
    """What the script prints."""
    first, *paths = text.splitlines()
    names = (path.rstrip("/").rpartition("/")[2] for path in paths)
    return Releases(
        current=first.rpartition("/")[2] if "/" in first else "",
        all=tuple(name for name in names if not name.endswith((".romana-new", ".romana-old"))),
    )


def rollback(wish: Wish, wanted: str, confirm: Callable[[str], bool], reporting: Reporting) -> int:
    """Takes an earlier release of Romana into use on all hosts: first on one, then on the others.
    Pods and their connections are not touched.

    Args:
        wish: which cluster.
        wanted: a release, or its version; empty for the one before.
        confirm: asked before anything is changed.
        reporting: is told everything.

    Returns:
        The exit code: 0 done, 2 declined, 1 failed.

    Raises:
        InstallerError: a host has no such release, or cannot be asked; nothing was changed.
    """
    started = time.monotonic()
    cluster = clusters.known(wish)
    with (
        lock.exclusive(cluster.state / "lock", reporting.command, utc()),
        reporting.kept(cluster),
    ):
        attached = platforms.of(cluster).attach(cluster)
        names = tuple(host.name for host in attached.hosts)
        reporting.emit(
            RunStarted(command=reporting.command, cluster=cluster.name, mode="apply", hosts=names)
        )
        tally = Tally(names)
        reporting.add(tally)
        with connected(attached, attached.hosts, reporting.emit) as sessions:
            facts = gather_all(attached, sessions, reporting.emit)
            changes = _changes(names, sessions, wanted)
            reporting.emit(VersionChanges(changes=changes))
            plan = _plan(attached, changes, sessions, facts)
            reporting.pause()
            if plan.pending and not confirm(f"Go back on {len(names)} hosts?"):
                reporting.emit(Recap(hosts=(), seconds=0, pending=True))
                return 2
            applied = _apply(attached, plan, sessions, reporting)
            trips = {name: session.round_trips for name, session in sessions.items()}
        stopped = "".join(f"stopped on {f.host} because {f.reason}" for f in applied.failures[:1])
        release = changes[0].after
        reporting.emit(
            Recap(
                hosts=tally.recap(trips, frozenset()),
                seconds=time.monotonic() - started,
                stopped=stopped,
                notes=(
                    f"Romana {release}; the next run brings the installer's own again, unless the "
                    f"inventory says romana: {release}",
                ),
            )
        )
        return 1 if stopped else 0


def _changes(
    names: Sequence[str], sessions: Mapping[str, Session], wanted: str
) -> tuple[VersionChange, ...]:
    """From what to what, host by host."""

    def one(name: str) -> Releases:
        if name not in sessions:
            raise HostError(name, f"{name} cannot be reached")
        return parse(sessions[name].run(_LIST).stdout)

    changes = []
    for name, found in zip(names, over_hosts(one, names), strict=True):
        if isinstance(found, HostError):
            raise InstallerError(f"{found.message}; nothing was changed", found.advice)
        target = found.before(wanted)
        if not target:
            raise InstallerError(
                f"{name} has no {f'release {wanted}' if wanted else 'earlier release'} of Romana; "
                "nothing was changed",
                f"it has {', '.join(found.all) or 'none'}",
            )
        changes.append(
            VersionChange(host=name, program="romana", before=found.current, after=target)
        )
    return tuple(changes)


def _plan(
    cluster: Cluster,
    changes: Sequence[VersionChange],
    sessions: Mapping[str, Session],
    facts: Mapping[str, Facts],
) -> Plan:
    role = Role(
        name="rollback",
        title="Take an earlier release of Romana into use",
        on="all",
        resources=lambda target: iter(()),
    )
    everything = [
        Wanted(host=change.host, roles=((role, (_in_use(change.after, facts[change.host]),)),))
        for change in changes
    ]
    return probe_all((role,), everything, sessions)


def _in_use(release: str, facts: Facts) -> Condition:
    """The link says so, and the agent has started since. A mark tells a run that was killed in
    between from one that was not."""
    init = of(facts)
    return Condition(
        f"Romana {release} is in use",
        holds=f'[ ! -e {_PENDING} ] && [ "$(readlink {CURRENT})" = {RELEASES}/{release} ]'
        f" && {READY}",
        repair=f"mkdir -p {STAMPS}\n: >{_PENDING}\n{switch(CURRENT, f'{RELEASES}/{release}')}"
        f"{init.restart('romana-agent')}rm -f {_PENDING}\n",
        evidence=init.log("romana-agent", 10),
    )


def _apply(
    cluster: Cluster, plan: Plan, sessions: Mapping[str, Session], reporting: Reporting
) -> Applied:
    """On one host, and, if all is well there, on the others."""
    if not plan.pending:
        reporting.emit(Notice(text="all hosts have it already"))
        return Applied(changed=False, failures=())
    there = [sessions[host.name] for host in cluster.controllers if host.name in sessions]
    mine = claim(cluster, reporting.command)
    with cluster_lock.held(mine, there, reporting.emit) if there else nullcontext():
        last = plan.works[-1].host
        for canary in (True, False):
            works = tuple(work for work in plan.works if (work.host == last) is canary)
            applied = _part(replace(plan, works=works), sessions, reporting.emit)
            if applied.failures:
                break
        return applied


def _part(plan: Plan, sessions: Mapping[str, Session], emit: Emit) -> Applied:
    return apply(plan, sessions, emit) if plan.works else Applied(changed=False, failures=())
