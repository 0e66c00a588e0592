"""One run at a time for a cluster: a lock on a file of its state directory, which ends with the
process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from installer.errors import InstallerError


def whoami() -> str:
    """This process and whose it is, for others to read."""
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"


@contextlib.contextmanager
def exclusive(path: Path, command: str, now: str) -> Iterator[None]:
    """Holds the lock.

    Args:
        path: the lock file.
        command: what is going on, for whoever finds the lock taken.
        now: since when, as text.

    Raises:
        InstallerError: somebody else holds it; says who, and since when.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise InstallerError(
                f"the cluster is being worked on by {owner}",
                "wait for it to end, or end that process",
            ) from error
        file.truncate(0)
        file.write(f"{whoami()} ({command}), since {now}\n")
        file.flush()
        yield
