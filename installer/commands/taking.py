"""Takes a backup of a cluster that runs, and writes it where backups of it are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from installer import backup
from installer.artifacts import chosen
from installer.backup.archive import state_files
from installer.cluster import Cluster
from installer.errors import HostError, InstallerError
from installer.events import Emit, Notice
from installer.hosts.session import Session

STAMP = "%Y%m%d-%H%M%S"
"""How the time stands in a backup's name."""


def name_of(cluster: Cluster, now: datetime) -> str:
    """The name of a backup's file."""
    return f"romana-backup-{cluster.name}-{now:{STAMP}}.tar.gz"


def place(cluster: Cluster, output: Path | None, name: str) -> Path:
    """The file of a backup.

    Args:
        cluster: whose.
        output: the file, or a directory for it; None for `backups` in the state directory.
        name: in the directory.

    Raises:
        InstallerError: there is such a file already.
    """
    if output is None:
        output = cluster.state / "backups"
        output.mkdir(mode=0o700, exist_ok=True)
    path = output / name if output.is_dir() else output
    if path.exists():
        raise InstallerError(f"{path}: is there already", "name another file: -o FILE")
    return path


def unwritable(path: Path, error: OSError) -> InstallerError:
    """Says that a backup's file cannot be written."""
    return InstallerError(
        f"{path}: cannot be written: {error.strerror}", "name another place: -o FILE"
    )


def take(
    cluster: Cluster, sessions: Mapping[str, Session], path: Path, now: datetime, emit: Emit
) -> str:
    """Writes a backup, and says in a line what is in it.

    Args:
        cluster: whose.
        sessions: to controllers, by name.
        path: the file.
        now: the time that it bears.
        emit: is told of controllers that could give none.

    Raises:
        InstallerError: no controller could be asked, or the file cannot be written.
    """
    snapshot, source = _snapshot(cluster, sessions, emit)
    choice = chosen(cluster)
    description = backup.Description(
        cluster=cluster.name,
        platform=cluster.platform,
        taken=f"{now:%Y-%m-%d %H:%M:%S}",
        kubernetes=choice.version if choice else cluster.kubernetes,
        revision=snapshot.revision,
        keys=snapshot.keys,
    )
    whole = backup.Backup(
        description=description, snapshot=snapshot.content, state=state_files(cluster.state)
    )
    try:
        backup.write(whole, path)
    except OSError as error:
        raise unwritable(path, error) from error
    size = path.stat().st_size >> 10
    return f"{path}: {size} KiB, {snapshot.keys} keys of etcd on {source}, verified"


def _snapshot(
    cluster: Cluster, sessions: Mapping[str, Session], emit: Emit
) -> tuple[backup.Snapshot, str]:
    """The snapshot of the first controller that can give one, and the controller's name."""
    problems = [f"{host.name}: no SSH connection" for host in cluster.controllers]
    for host in cluster.controllers:
        if host.name not in sessions:
            continue
        try:
            return backup.save(sessions[host.name]), host.name
        except HostError as error:
            problems.append(error.message)
            emit(Notice(text=error.message, level="warning"))
    raise InstallerError(
        f"cluster {cluster.name} could not be backed up: {problems[-1]}",
        "see what is wrong: romana-install status",
    )
