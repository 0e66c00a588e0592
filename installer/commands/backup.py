"""Backs a cluster up, and rebuilds a control plane from a backup."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from installer import backup, platforms
from installer.backup.archive import lay_down
from installer.cluster import Cluster, Host
from installer.commands import clusters, fixed, taking, unfinished
from installer.commands.clusters import Wish
from installer.commands.converge import How, claim, converge
from installer.commands.preparing import connected, gather_all, prepare
from installer.commands.reporting import Reporting
from installer.commands.taking import STAMP
from installer.engine import cluster_lock
from installer.engine.apply import apply
from installer.engine.parallel import over_hosts
from installer.errors import HostError, InstallerError
from installer.events import Notice, Recap
from installer.hosts.facts import Facts
from installer.hosts.init import of
from installer.hosts.session import Session
from installer.pki import rotation
from installer.pki.certificates import utc_now
from installer.pki.rotation import SERVICE_ACCOUNT
from installer.pki.store import Directory
from installer.roles import ROLES
from installer.status.reading import services

_MARK = "pki/encryption.key"


def take(wish: Wish, output: Path | None, keep_days: int | None, reporting: Reporting) -> int:
    """Backs a cluster up into one file.

    Args:
        wish: which cluster.
        output: the file, or a directory for it; None for `backups` in the state directory.
        keep_days: remove older backups of this cluster from the directory; the new one stays.
        reporting: is told everything.

    Raises:
        InstallerError: no controller could be asked, or the file cannot be written.
    """
    started = time.monotonic()
    now = datetime.now(timezone.utc)
    cluster = clusters.known(wish)
    path = taking.place(cluster, output, taking.name_of(cluster, now))
    attached = platforms.of(cluster).attach(cluster)
    with connected(attached, attached.controllers, reporting.emit) as sessions:
        told = taking.take(attached, sessions, path, now, reporting.emit)
    reporting.emit(Notice(text=told))
    if keep_days is not None:
        _forget(path, cluster.name, now - timedelta(days=keep_days), reporting)
    reporting.emit(Recap(hosts=(), seconds=time.monotonic() - started))
    return 0


def fetch(wish: Wish, output: Path | None, reporting: Reporting) -> int:
    """Brings the last snapshot here that any controller has kept by itself.

    Args:
        wish: which cluster.
        output: the file, or a directory for it; None for `backups` in the state directory.
        reporting: is told everything.

    Raises:
        InstallerError: there is none, it is damaged, or the file cannot be written.
    """
    started = time.monotonic()
    cluster = clusters.known(wish)
    attached = platforms.of(cluster).attach(cluster)
    with connected(attached, attached.controllers, reporting.emit) as sessions:
        found = [kept for each in sessions.values() if (kept := backup.newest(each)) is not None]
        if not found:
            raise InstallerError(
                f"no controller of {cluster.name} that answers has a snapshot",
                "take one: romana-install backup",
            )
        last = max(found, key=lambda kept: kept.name)
        path = taking.place(cluster, output, last.name)
        content = backup.content(sessions[last.host], last)
    try:
        backup.put(content, path)
    except OSError as error:
        raise taking.unwritable(path, error) from error
    text = f"{path}: {len(content) >> 10} KiB, taken by {last.host}, verified"
    reporting.emit(Notice(text=text))
    reporting.emit(Recap(hosts=(), seconds=time.monotonic() - started))
    return 0


def _forget(path: Path, cluster: str, before: datetime, reporting: Reporting) -> None:
    """Removes backups that are older, told by the time in their names."""
    for old in sorted(path.parent.glob(f"romana-backup-{cluster}-*.tar.gz")):
        stamp = old.name.removeprefix(f"romana-backup-{cluster}-").removesuffix(".tar.gz")
        try:
            taken = datetime.strptime(stamp, STAMP).replace(tzinfo=timezone.utc)
        except ValueError:
            continue  # of another cluster whose name begins with this one's
        if old != path and taken < before:
            old.unlink()
            reporting.emit(Notice(text=f"{old}: removed, older than the backups to keep"))


def restore(wish: Wish, file: Path, confirm: Callable[[str], bool], reporting: Reporting) -> int:
    """Rebuilds the control plane from a backup, on the hosts that the inventory names.

    Args:
        wish: the inventory where it is not the backup's, and settings.
        file: the backup.
        confirm: asked before anything is touched.
        reporting: is told everything.

    Raises:
        InstallerError: the backup is damaged or of another cluster, or a controller cannot be
            reached; nothing was touched then.
    """
    held = backup.read(file)
    described = held.description
    if wish.name and wish.name != described.cluster:
        raise InstallerError(
            f"{file}: is of cluster {described.cluster}, not of {wish.name}", "name that: -n"
        )
    state = clusters.clusters_directory() / described.cluster
    # The one secret that stays the same for a cluster's whole life.
    known = state / _MARK
    if known.exists() and known.read_bytes().strip() != held.state.get(_MARK, b"").strip():
        raise InstallerError(
            f"this machine knows another cluster of the name {described.cluster}",
            f"move {state} away first",
        )
    recorded = known.exists() or clusters.RECORD in held.state
    if not recorded and wish.inventory is None:
        raise InstallerError(
            f"{file}: does not say what hosts cluster {described.cluster} has: a controller took "
            "it by itself",
            "name the cluster's inventory: -i FILE",
        )
    since = f"all that changed in it since {described.taken} UTC is lost"
    if not confirm(f"Restore cluster {described.cluster}? {since}."):
        raise InstallerError("nothing was restored", "answer y, or give --yes")
    if known.exists():
        _accept_tokens(held, state)
    else:
        lay_down(held, state)
        reporting.emit(Notice(text=f"{state}: laid down from the backup"))
    wanted = replace(wish, name=described.cluster)
    restoring = _Restoring(held, reporting)
    how = How(confirm=lambda _: True, first=restoring.run)
    if not recorded:
        return converge(described.platform, wanted, how, reporting)
    wanted = clusters.as_recorded(wanted)
    return converge(clusters.known(wanted).platform, wanted, how, reporting)


def _accept_tokens(held: backup.Backup, state: Path) -> None:
    """What etcd gets back may hold tokens that an earlier key has signed: they are accepted until
    all have been signed anew."""
    then, store = held.state.get(f"pki/{SERVICE_ACCOUNT}"), Directory(state / "pki")
    if then and then != store.read(SERVICE_ACCOUNT):
        rotation.accept(store, then, utc_now())


@dataclass(frozen=True, slots=True)
class _Restoring:
    """What comes first: controllers with the backup's data in place, and nothing running on
    them."""

    backup: backup.Backup
    reporting: Reporting

    def run(self, cluster: Cluster, sessions: Mapping[str, Session]) -> None:
        """From whatever is left of the hosts. Everything that talks to the API stops; pods go on,
        and the kernel goes on judging."""
        emit = self.reporting.emit
        lost = [host.name for host in cluster.controllers if host.name not in sessions]
        if lost:
            raise InstallerError(
                f"{', '.join(lost)} cannot be reached; nothing was restored",
                "mend that, or take the host out of the inventory, and run again",
            )
        controllers = [sessions[host.name] for host in cluster.controllers]
        mine = claim(cluster, self.reporting.command)
        with cluster_lock.held(mine, controllers, emit, take_over=True):
            facts = gather_all(cluster, sessions, emit)
            unfinished.begin(cluster)
            emit(Notice(text="stopping what talks to the API; pods go on"))
            there = [host for host in cluster.hosts if host.name in facts]
            _each(there, lambda host: _stop(sessions[host.name], host, facts[host.name]))
            self._install_etcd(cluster, sessions)
            emit(Notice(text=f"restoring etcd's data of {self.backup.description.taken} UTC"))
            stamp, content = f"{datetime.now(timezone.utc):{STAMP}}", self.backup.snapshot
            _each(
                cluster.controllers,
                lambda host: backup.restore(sessions[host.name], cluster, host, content, stamp),
            )
            unfinished.end(cluster)
        fixed.keep(cluster)

    def _install_etcd(self, cluster: Cluster, sessions: Mapping[str, Session]) -> None:
        """All that comes before etcd's start, on controllers that may be new."""
        names = tuple(host.name for host in cluster.controllers)
        before_etcd = ROLES[: [role.name for role in ROLES].index("etcd")]
        prepared = prepare(
            cluster, sessions, names, self.reporting.emit, roles=before_etcd, restoring=True
        )
        applied = apply(prepared.plan, sessions, self.reporting.emit)
        if applied.failures:
            first = applied.failures[0]
            raise HostError(first.host, f"{first.host}: {first.role}: {first.reason}", "run again")


def _stop(session: Session, host: Host, facts: Facts) -> None:
    """The API's clients before the API, and etcd after it."""
    order = [name for name in reversed(services(host)) if name != "containerd"]
    backup.stop(session, of(facts), order)


def _each(hosts: tuple[Host, ...] | list[Host], action: Callable[[Host], None]) -> None:
    """On all hosts at once; raises the first error when all have ended."""
    for outcome in over_hosts(action, hosts):
        if isinstance(outcome, HostError):
            raise outcome
