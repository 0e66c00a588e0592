"""What the operating systems of hosts are like, as a table: one row for each release of Ubuntu and
Debian that people run servers with. Roles, preflight and images look things up here.

A row says what a host of that release *can* be expected to have, before it is asked: the kernels of
its archive (first released, newest), the init system and control groups it boots with, the versions
of what the installer meets there (python3, sshd, iptables, ipset, nft, C library, apt), the
versions of what could run a cluster (containerd, runc, etcd, CNI plugins; empty where the archive
has none), how long it gets security updates without a contract, where its packages are, and what
they are called. `packages` is None where the installer does not lay a cluster down from the
distribution's own packages; `lacks` then says why, in words for the operator.

Sources: the archives' package indices (Debian 11, 12, 13 read in 2026-11; of Ubuntu, the release
notes and https://launchpad.net/ubuntu), https://ubuntu.com/about/release-cycle,
https://wiki.debian.org/LTS. Versions are those of the release with its updates: the archive of a
release does not change them by more than a patch, but for containerd, which Ubuntu moves.

    row     what is known of one release
    table   the rows
"""

from __future__ import annotations

from installer.distributions.row import AGENT_PYTHON, Distribution, Packages
from installer.distributions.table import TABLE

__all__ = ["AGENT_PYTHON", "TABLE", "Distribution", "Packages", "find", "names", "supported"]

_BY_NAME = {(row.id, row.version): row for row in TABLE}


def find(os_id: str, os_version: str) -> Distribution | None:
    """The row of a host.

    Args:
        os_id: ID of its os-release: "ubuntu".
        os_version: VERSION_ID there: "22.04".
    """
    return _BY_NAME.get((os_id, os_version))


def names(os_id: str, os_version: str) -> Packages | None:
    """What its packages are called; None where a cluster is not laid down from them."""
    row = find(os_id, os_version)
    return row.packages if row else None


def supported() -> tuple[str, ...]:
    """The releases that hosts may run, as shown to people."""
    return tuple(row.name for row in TABLE if row.packages is not None)
