"""A restoration that was cut off: until it is done again, nothing may start with half of it."""

from __future__ import annotations

from installer.cluster import Cluster
from installer.errors import InstallerError

_RECORD = "restoring"


def begin(cluster: Cluster) -> None:
    """From here on etcd's data may be neither the old nor the new."""
    (cluster.state / _RECORD).touch(mode=0o600)


def end(cluster: Cluster) -> None:
    """The new data are in place, on all controllers."""
    (cluster.state / _RECORD).unlink(missing_ok=True)


def require_none(cluster: Cluster) -> None:
    """Keeps a cluster from starting with data that are not its own.

    Raises:
        InstallerError: a restoration was begun and not finished.
    """
    if (cluster.state / _RECORD).exists():
        raise InstallerError(
            f"a restoration of cluster {cluster.name} was begun and not finished",
            "run it again: romana-install restore FILE",
        )
