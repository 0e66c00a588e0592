"""Backups of a cluster: what etcd holds, the cluster's secrets, and how it was asked for, in one
verified file."""

from installer.backup.archive import Backup, Description, read, write
from installer.backup.snapshot import Snapshot, restore, save, stop

__all__ = [
    "Backup",
    "Description",
    "Snapshot",
    "read",
    "restore",
    "save",
    "stop",
    "write",
]
