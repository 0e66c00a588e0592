"""sudo's passwords: typed on the terminal for all hosts, or kept in a file that only its owner may
read. They are read when sudo asks, and are written nowhere."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from installer.cluster import Cluster, Host
from installer.errors import InstallerError

_OTHERS = 0o077


def provide(cluster: Cluster, file: Path | None, typed: str) -> Cluster:
    """The cluster with a password at hand for each host that has one; the command line wins over
    the inventory.

    Args:
        cluster: as the inventory says it.
        file: that the command line names.
        typed: on the terminal; empty where nothing was asked.
    """
    return replace(cluster, hosts=tuple(_provided(host, file, typed) for host in cluster.hosts))


def _provided(host: Host, file: Path | None, typed: str) -> Host:
    if host.ssh.user == "root":
        return host
    if typed:
        return replace(host, ssh=replace(host.ssh, sudo_password=lambda: typed))
    path = file or host.ssh.sudo_password_file
    if path is None:
        return host
    ssh = replace(host.ssh, sudo_password_file=path, sudo_password=partial(read, path))
    return replace(host, ssh=ssh)


def read(path: Path) -> str:
    """The password in a file: its first line.

    Raises:
        InstallerError: there is none, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not text"
        raise InstallerError(f"sudo's password: {path} cannot be read: {reason}") from error
    if mode & _OTHERS:
        raise InstallerError(
            f"sudo's password: others may read {path}", f"make it yours alone: chmod 600 {path}"
        )
    if not lines or not lines[0]:
        raise InstallerError(f"sudo's password: {path} is empty", "write it on the first line")
    return lines[0]
