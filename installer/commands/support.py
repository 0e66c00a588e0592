"""Collects what someone who is to help has to see."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

from installer import platforms, support
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.commands.preparing import connected
from installer.commands.reporting import Reporting
from installer.errors import InstallerError
from installer.events import Notice, Recap


def collect(wish: Wish, output: Path | None, reporting: Reporting) -> int:
    """One archive with versions, states, logs, rules, routes and journal of all hosts.

    Args:
        wish: which cluster.
        output: the archive, or a directory for it; None for the present one.
        reporting: is told everything.

    Raises:
        InstallerError: there is no such cluster, or the archive cannot be written. A host that
            cannot be reached is only missing in it.
    """
    started = time.monotonic()
    now = datetime.now(timezone.utc)
    cluster = clusters.known(wish)
    path = _path(output or Path(), f"romana-support-{cluster.name}-{now:%Y%m%d-%H%M%S}.tar.gz")
    platform = platforms.of(cluster)
    if cluster.kubeconfig.exists():
        platform.publish(cluster)
    attached = platform.attach(cluster)
    with connected(attached, attached.hosts, reporting.emit) as sessions:
        collected = support.collect(attached, sessions, reporting.emit)
    try:
        support.write(collected, path, cluster.name, f"{now:%Y-%m-%d %H:%M:%S}")
    except OSError as error:
        raise InstallerError(
            f"{path}: cannot be written: {error.strerror}", "name another place: -o FILE"
        ) from error
    for gap in collected.gaps:
        reporting.emit(Notice(text=f"could not be had: {gap}", level="debug"))
    missing = f", {len(collected.gaps)} answers missing (its README names them)" * bool(
        collected.gaps
    )
    size = path.stat().st_size >> 10
    reporting.emit(Notice(text=f"{path}: {len(collected.texts)} files, {size} KiB{missing}"))
    reporting.emit(Recap(hosts=(), seconds=time.monotonic() - started))
    return 0


def _path(output: Path, name: str) -> Path:
    path = output / name if output.is_dir() else output
    if not path.name.endswith(".tar.gz"):
        raise InstallerError(
            f"{path}: the archive's name must end with .tar.gz", "or name a directory"
        )
    if path.exists():
        raise InstallerError(f"{path}: is there already", "name another file: -o FILE")
    return path
