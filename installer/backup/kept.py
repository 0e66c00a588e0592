"""The snapshots that controllers keep by themselves: which there are, and how one comes here."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import PurePosixPath

from installer.errors import HostError
from installer.hosts.session import Session
from installer.resources.shell import quote
from installer.roles.snapshots import STORE

_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A controller's last snapshot. Names sort by the time at which they were taken."""

    host: str
    path: str

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name


def newest(session: Session) -> Kept | None:
    """The last one that a controller has kept, if it has any."""
    found = session.run(f"ls -1 {STORE}/romana-backup-*.tar.gz 2>/dev/null | sort | tail -n 1")
    path = found.stdout.strip()
    return Kept(host=session.host, path=path) if path else None


def content(session: Session, kept: Kept) -> bytes:
    """A snapshot's bytes, as the controller has them.

    Raises:
        HostError: it cannot be read there.
    """
    output = session.run(f"base64 {quote(kept.path)}", timeout_s=_LIMIT_S)
    try:
        if output.status == 0:
            return base64.b64decode(output.stdout)
        why = output.last_lines(1)
    except binascii.Error as error:
        why = str(error)
    raise HostError(session.host, f"{session.host}: {kept.path} cannot be read: {why}", "run again")
