"""The cluster's secrets on the operator's machine: files below `STATE/pki`, 0600 in directories
0700."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Directory:
    """Secrets as files. Writing is atomic: a run that is killed leaves the old file or the new
    one."""

    path: Path

    def read(self, name: str) -> bytes | None:
        """The file's bytes, or None where there is no such file."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Take the file away, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Put the file in place, readable by its owner only."""
        target = self.path / name
        for directory in reversed([target.parent, *target.parent.parents]):
            if directory == self.path or self.path in directory.parents:
                directory.mkdir(mode=0o700, exist_ok=True, parents=True)
        part = target.with_name(target.name + ".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
