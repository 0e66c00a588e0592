"""Digests of files: reckoned, remembered so that unchanged files are not read again, and recorded
for a cluster."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.errors import ArtifactError

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a file in place in one rename; its directory is made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(part).chmod(mode)
    Path(part).replace(path)


def read_sums(path: Path) -> dict[str, str]:
    """A file in the format of sha256sum: digest by name. Empty where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    words = (line.split() for line in lines)
    return {parts[1].lstrip("*"): parts[0] for parts in words if len(parts) == 2}


def write_sums(path: Path, sums: Mapping[str, str]) -> None:
    """The counterpart of `read_sums`."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    write_atomically(path, text.encode())


def require(path: Path, expected: str, origin: str) -> None:
    """Stop unless the file is what its checksum says. The result is remembered with the file's
    size and times, so that hundreds of megabytes are not read again at every run.

    Args:
        path: the file.
        expected: its SHA-256.
        origin: who says so; for the message.

    Raises:
        ArtifactError: it is something else.
    """
    memory = path.with_name(f".{path.name}.verified")
    status = path.stat()
    seen = [expected, status.st_size, status.st_mtime_ns, status.st_ino]
    if _remembered(memory) == seen:
        return
    found = sha256_of(path)
    if found != expected:
        raise ArtifactError(
            f"{path}: wrong checksum: sha256 is {found[:16]}..., {origin} says {expected[:16]}...",
            "delete the file and run again; if it happens again, do not trust the source",
        )
    write_atomically(memory, json.dumps(seen).encode())


@dataclass(frozen=True, slots=True)
class Lock:
    """The checksums that one cluster's artifacts had when they were first fetched:
    `artifacts.lock` in its state directory.

    Lines of digest and artifact, as sha256sum writes them. What is recorded is demanded from then
    on, whoever serves the file.
    """

    path: Path

    def get(self, artifact: str) -> str:
        """The digest recorded for an artifact, or empty."""
        return read_sums(self.path).get(artifact, "")

    def record(self, artifact: str, digest: str) -> None:
        """Remember a digest. The first one stays."""
        sums = read_sums(self.path)
        if artifact not in sums:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_sums(self.path, {**sums, artifact: digest})


def _remembered(memory: Path) -> object:
    try:
        return json.loads(memory.read_text())
    except (FileNotFoundError, ValueError):
        return None
