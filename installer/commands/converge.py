"""Makes a cluster what its inventory says: the main verb, and its check mode."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from installer import pki, platforms
from installer.artifacts.choice import chosen, record
from installer.cluster import Cluster, Host, Platform
from installer.commands import clusters, departing, fixed, unfinished, validity
from installer.commands.bundled import carried
from installer.commands.clusters import Wish
from installer.commands.foreseeing import foresee
from installer.commands.next_steps import next_steps
from installer.commands.preparing import Prepared, connected, prepare
from installer.commands.reporting import Reporting, utc
from installer.commands.showing import show, trips
from installer.commands.upgrading import carry_out
from installer.departure import Patience
from installer.engine import cluster_lock, drift, journal, lock
from installer.engine.apply import Applied, apply
from installer.engine.plan import Plan
from installer.errors import InstallerError, SmokeFailed
from installer.events import (
    Emit,
    Notice,
    Recap,
    RunStarted,
    VersionChanges,
)
from installer.hosts.session import Session
from installer.observers.tally import Tally
from installer.pki import Credentials, Expiry, Pair
from installer.upgrade.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to go about it.

    Args:
        check: only say what would change.
        limit: names of hosts to work on; empty for all.
        confirm: asked before a cluster that works is changed; a question in, whether to go on out.
        take_over: take the cluster's lock from a run elsewhere that is dead.
        settings: of a roll-out, where versions change.
        first: what has to be done on the hosts before anything is compared: a restoration.
        entering: what has to be done to the state directory alone, with the lock held.
        smoke: whether it may end with the smoke test.
    """

    check: bool = False
    limit: tuple[str, ...] = ()
    take_over: bool = False
    settings: Settings = Settings()
    confirm: Callable[[str], bool] = lambda question: True
    first: Callable[[Cluster, Mapping[str, Session]], None] | None = None
    entering: Callable[[Cluster], None] | None = None
    smoke: bool = True


def converge(platform_name: Platform, wish: Wish, how: How, reporting: Reporting) -> int:
    """Installs, repairs or upgrades a cluster.

    Returns:
        The exit code: 0 done, 2 changes pending (check mode), 1 something failed.

    Raises:
        InstallerError: it could not begin, or not go on; says why.
    """
    inventory, file = clusters.wanted(platform_name, wish)
    cluster = inventory.cluster
    for name in how.limit:
        clusters.host_named(cluster, name)
    if how.first is None:
        fixed.require(cluster)
        unfinished.require_none(cluster)
    for warning in inventory.warnings:
        reporting.emit(Notice(text=warning, level="warning"))
    cluster = carried(cluster, wish, reporting.emit)
    if how.check:
        return _check(cluster, how, reporting)
    cluster.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster.state.chmod(0o700)
    with lock.exclusive(cluster.state / "lock", reporting.command, utc()):
        last = journal.read(cluster.state / "journal.json")
        with reporting.kept(cluster):
            record = partial(clusters.record, cluster, file, wish)
            if last is None:
                record()  # so that a first run that is killed can be destroyed
            if how.entering is not None:
                how.entering(cluster)
            return _Converging(cluster, how, reporting, last, record).run()


def claim(cluster: Cluster, command: str) -> cluster_lock.Claim:
    """This run's claim to a cluster."""
    return cluster_lock.Claim(
        place=cluster_lock.place_of(cluster.state),
        owner=lock.whoami(),
        command=command,
        since=utc(),
    )


def _check(cluster: Cluster, how: How, reporting: Reporting) -> int:
    """Check mode: state is a copy that is thrown away, and hosts are only read."""
    started = time.monotonic()
    emit = reporting.emit
    hosts = _meant(cluster, how)
    emit(
        RunStarted(
            command=reporting.command, cluster=cluster.name, mode="check", hosts=_names(hosts)
        )
    )
    platform = platforms.of(cluster)
    making = platform.plan(cluster)
    attached = platform.attach(cluster)
    foresee(cluster, making, _absent(attached, hosts) if making else (), emit)
    tally = Tally(_names(hosts))
    reporting.add(tally)
    prepared, counts, since = None, {}, ""
    leaving: tuple[str, ...] = ()
    with copied_state(attached) as shadow:
        there = [
            host for host in shadow.hosts if not making or host.ssh != _host(cluster, host).ssh
        ]
        with connected(shadow, there, emit) as sessions:
            if sessions:
                prepared = prepare(shadow, sessions, how.limit, emit)
                if prepared.changes:
                    emit(VersionChanges(changes=prepared.changes))
                known = _observed(cluster, prepared.plan)
                since = drift.first(known, drift.differing(prepared.plan))
                show(prepared.plan, emit, known)
                leaving = () if how.limit else departing.find(cluster)
                for name in leaving:
                    emit(Notice(text=f"would let {name} leave: it is not in the inventory"))
            counts = trips(sessions)
    lost = frozenset(prepared.lost) if prepared and not making else frozenset()
    pending = bool(making or leaving) or bool(prepared and prepared.plan.pending)
    lives = _lives(prepared, emit, done=not pending) if prepared else ()
    recap = Recap(
        hosts=tally.recap(counts, lost),
        seconds=time.monotonic() - started,
        pending=pending,
        since=since,
        certificates_end=validity.end(lives),
        notes=tuple(_noted(prepared, lives)) if prepared else (),
    )
    emit(recap)
    if any(host.failed or host.unreachable for host in recap.hosts) and not making:
        return 1
    return 2 if pending else 0


def _lives(prepared: Prepared, emit: Emit, *, done: bool) -> Sequence[Expiry]:
    """When the certificates end that hosts hold now; tells of those that end soon."""
    lives = validity.held(prepared.kept, pki.expiries(prepared.credentials), done=done)
    for text in validity.warnings(lives, time.time()):
        emit(Notice(text=text, level="warning"))
    return lives


def _noted(prepared: Prepared, lives: Sequence[Expiry]) -> Iterator[str]:
    """What the recap of check mode says below its counts."""
    yield f"Kubernetes {prepared.kubernetes}; {validity.summary(lives, time.time())}"
    if text := validity.renewals(prepared.plan):
        yield text


def _observed(cluster: Cluster, plan: Plan, *, mended: bool = False) -> drift.Since:
    """Since when the cluster differs from what is wanted, with what a plan has found; nothing of
    that is left once it is carried out."""
    found = () if mended else drift.differing(plan)
    looked_at = {work.host for work in plan.works}
    return drift.observe(cluster.state, found, looked_at, utc())


class _Converging:
    """One run for real."""

    def __init__(
        self,
        cluster: Cluster,
        how: How,
        reporting: Reporting,
        last: journal.Entry | None,
        record: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._how = how
        self._emit = reporting.emit
        self._reporting = reporting
        self._last = last
        self._record = record
        self._started = time.monotonic()
        self._made = False
        self._leaving: tuple[str, ...] = ()
        self._platform = platforms.of(cluster)
        self._tally = Tally(_names(_meant(cluster, how)))
        reporting.add(self._tally)

    def run(self) -> int:
        """From hosts to the recap."""
        self._emit(
            RunStarted(
                command=self._reporting.command,
                cluster=self._cluster.name,
                mode="apply",
                hosts=_names(_meant(self._cluster, self._how)),
                log=str(self._reporting.log_path or ""),
            )
        )
        if self._last is not None and self._last.state != "done":
            self._emit(Notice(text=f"{self._last}; continuing from there"))
        if not self._agreed_to_pay():
            return self._declined()
        cluster = self._platform.provision(self._cluster, self._emit)
        with connected(cluster, cluster.hosts, self._emit) as sessions:
            if not any(host.name in sessions for host in cluster.controllers):
                raise InstallerError(
                    f"no controller of {cluster.name} can be reached; nothing was changed",
                    "the reasons are above; run again once one of them answers",
                )
            if self._how.first is not None:
                self._how.first(cluster, sessions)
            prepared = prepare(
                cluster,
                sessions,
                self._how.limit,
                self._emit,
                restoring=self._how.first is not None,
            )
            _observed(cluster, prepared.plan)
            if prepared.changes:
                self._emit(VersionChanges(changes=prepared.changes))
            self._leaving = self._find_leaving()
            if not self._agreed(prepared.plan):
                return self._recap(sessions, prepared, "", declined=True)
            with self._locked(cluster, sessions, prepared.plan):
                self._remember()
                applied = self._carry_out(cluster, sessions, prepared)
                stopped = self._afterwards(cluster, sessions, prepared, applied)
            if not stopped and prepared.lost:
                stopped = f"stopped on {', '.join(prepared.lost)} because it could not be reached"
            return self._recap(sessions, prepared, stopped)

    def _find_leaving(self) -> tuple[str, ...]:
        """Nodes that are in no inventory any more."""
        found = () if self._how.limit else departing.find(self._cluster)
        for name in found:
            self._emit(Notice(text=f"node {name} leaves: it is not in the inventory any more"))
        return found

    def _remember(self) -> None:
        """Records this run's inventory; the one before is kept while hosts of it have to leave."""
        if self._leaving:
            departing.remember(self._cluster)
        self._record()

    def _carry_out(
        self, cluster: Cluster, sessions: Mapping[str, Session], prepared: Prepared
    ) -> Applied:
        if self._how.first is not None or self._last is None:
            return apply(prepared.plan, sessions, self._emit)
        begun = chosen(cluster)
        return carry_out(
            cluster,
            prepared.plan,
            prepared.changes,
            sessions,
            self._emit,
            self._how.settings,
            continuing=self._last.state != "done"
            or (begun is not None and begun.version != prepared.kubernetes),
        )

    def _locked(
        self, cluster: Cluster, sessions: Mapping[str, Session], plan: Plan
    ) -> contextlib.AbstractContextManager[None]:
        """Keeps others from changing the cluster, where there is something to change."""
        if not plan.pending and not self._leaving:
            return contextlib.nullcontext()
        mine = claim(cluster, self._reporting.command)
        there = [sessions[host.name] for host in cluster.controllers if host.name in sessions]
        return cluster_lock.held(mine, there, self._emit, take_over=self._how.take_over)

    def _agreed_to_pay(self) -> bool:
        """Nothing is made in somebody's account without a yes to what it is and what it costs."""
        if not platforms.in_cloud(self._cluster):
            return True
        making = self._platform.plan(self._cluster)
        self._made = bool(making)
        if not making:
            return True
        attached = self._platform.attach(self._cluster)
        foresee(self._cluster, making, _absent(attached, self._cluster.hosts), self._emit)
        self._reporting.pause()
        return self._how.confirm(f"Make these changes in {self._cluster.platform}?")

    def _declined(self) -> int:
        recap = Recap(
            hosts=(),
            seconds=time.monotonic() - self._started,
            pending=True,
            notes=("nothing was changed",),
        )
        self._emit(recap)
        return 2

    def _agreed(self, plan: Plan) -> bool:
        """A cluster that was complete is not changed without asking."""
        pending = plan.pending or bool(self._leaving)
        if not pending or self._last is None or self._last.state != "done":
            return True
        if self._leaving and not plan.pending:
            self._reporting.pause()
            return self._how.confirm(f"Let {', '.join(self._leaving)} leave, with all its pods?")
        changes = sum(len(work.changes) for work in plan.works)
        hosts = dict.fromkeys(work.host for work in plan.works if work.changes)
        where = ", ".join(hosts) if len(hosts) < 4 else f"{len(hosts)} hosts"
        self._reporting.pause()
        return self._how.confirm(f"Make {changes} change{'s'[: changes - 1]} on {where}?")

    def _afterwards(
        self,
        cluster: Cluster,
        sessions: Mapping[str, Session],
        prepared: Prepared,
        applied: Applied,
    ) -> str:
        """Kubeconfig and smoke test; what stopped the run, or nothing."""
        _observed(cluster, prepared.plan, mended=not applied.failures)
        if applied.failures:
            first = applied.failures[0]
            return f"stopped in role {first.role} on {first.host} because {first.reason}"
        fixed.keep(cluster)
        if not self._how.limit and not prepared.lost:
            record(cluster, prepared.choice)
        write_kubeconfig(cluster, prepared.credentials, self._platform.publish(cluster))
        if self._leaving:
            patience = Patience(
                drain_s=self._how.settings.drain_timeout_s, evict_bare=self._how.settings.bare
            )
            if stopped := departing.let_go(cluster, self._leaving, patience, self._emit):
                return stopped
        complete = self._last is not None and self._last.state == "done"
        if not (cluster.smoke and self._how.smoke) or (
            complete and not applied.changed and not self._made
        ):
            return ""
        from installer.smoke.runner import run as smoke_test  # a third of all time to import

        try:
            smoke_test(cluster, sessions, self._emit)
        except SmokeFailed as error:
            self._emit(Notice(text=error.advice, level="warning"))
            return error.message
        return ""

    def _recap(
        self,
        sessions: Mapping[str, Session],
        prepared: Prepared,
        stopped: str,
        *,
        declined: bool = False,
    ) -> int:
        lives = _lives(prepared, self._emit, done=not stopped and not declined)
        changed = not stopped and prepared.plan.pending
        recap = Recap(
            hosts=self._tally.recap(trips(sessions), frozenset(prepared.lost)),
            seconds=time.monotonic() - self._started,
            pending=declined,
            stopped=stopped,
            certificates_end=validity.end(lives),
            notes=("nothing was changed",)
            if declined
            else tuple(self._notes(prepared, lives, changed=changed)),
        )
        self._emit(recap)
        failed = stopped or any(host.failed or host.unreachable for host in recap.hosts)
        return 1 if failed else 2 if declined else 0

    def _notes(
        self, prepared: Prepared, lives: Sequence[Expiry], *, changed: bool
    ) -> Iterator[str]:
        yield f"Kubernetes {prepared.kubernetes}; {validity.summary(lives, time.time())}"
        if changed:
            yield from next_steps(self._cluster, prepared.kubectl)
        elif self._cluster.kubeconfig.exists():
            yield f"export KUBECONFIG={self._cluster.kubeconfig}"


def write_kubeconfig(cluster: Cluster, credentials: Credentials, server: str) -> Path:
    """The operator's kubeconfig in the state directory, written only if it differs.

    Args:
        cluster: whose.
        credentials: with the operator's identity.
        server: the API server's URL as the operator reaches it.
    """
    path = cluster.state / "kubeconfig"
    text = kubeconfig_of(cluster, credentials, server, credentials.admin)
    if not path.exists() or path.read_text() != text:
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text)
        new.replace(path)
    return path


def kubeconfig_of(cluster: Cluster, credentials: Credentials, server: str, identity: Pair) -> str:
    """The text of a kubeconfig for somebody outside of the cluster, with this identity."""
    return pki.kubeconfig(
        cluster=cluster.name,
        server=server,
        authority=credentials.trusted["kubernetes"],
        user="admin",
        identity=identity,
        server_name="" if _certified(cluster, server) else "kubernetes",
    )


def _certified(cluster: Cluster, server: str) -> bool:
    """Whether the API server's certificate names the host of its URL."""
    if server == cluster.api_endpoint:
        return True
    known = ("127.0.0.1", *(str(host.address) for host in cluster.controllers))
    return urlsplit(server).hostname in known


@contextlib.contextmanager
def copied_state(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a copy of its state, for what only looks; it is thrown away."""
    with tempfile.TemporaryDirectory(prefix="romana-check-") as directory:
        copy = Path(directory, cluster.name)
        if cluster.state.exists():
            shutil.copytree(cluster.state, copy, ignore=shutil.ignore_patterns("logs", "lock"))
        copy.mkdir(exist_ok=True, mode=0o700)
        yield replace(cluster, state=copy)


def _meant(cluster: Cluster, how: How) -> tuple[Host, ...]:
    return tuple(host for host in cluster.hosts if not how.limit or host.name in how.limit)


def _absent(attached: Cluster, hosts: Sequence[Host]) -> tuple[Host, ...]:
    """Those that are not there yet: attaching has found no way to them."""
    return tuple(host for host in hosts if _host(attached, host).ssh == host.ssh)


def _host(cluster: Cluster, like: Host) -> Host:
    return next(host for host in cluster.hosts if host.name == like.name)


def _names(hosts: tuple[Host, ...]) -> tuple[str, ...]:
    return tuple(host.name for host in hosts)
