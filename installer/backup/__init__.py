"""Backups of a cluster: what etcd holds, the cluster's secrets, and how it was asked for, in one
verified file."""

from installer.backup.archive import Backup, Description, put, read, write
from installer.backup.kept import Kept, content, newest
from installer.backup.snapshot import Snapshot, restore, save, stop

__all__ = [
    "Backup",
    "Description",
    "Kept",
    "Snapshot",
    "content",
    "newest",
    "put",
    "read",
    "restore",
    "save",
    "stop",
    "write",
]
