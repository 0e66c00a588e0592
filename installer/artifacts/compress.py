"""Compressed copies of large files: the way to hosts is the bottleneck, and hosts unpack faster
than SFTP delivers."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

_LEVEL = 2
_CHUNK = 1 << 20


def compressed_copy(path: Path) -> Path:
    """`PATH.gz`, made where it is missing or older than the file. Its content depends on the
    file's alone."""
    copy = path.with_name(path.name + ".gz")
    if copy.exists() and copy.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return copy
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{copy.name}.")
    with (
        os.fdopen(descriptor, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed,
        path.open("rb") as stream,
    ):
        while chunk := stream.read(_CHUNK):
            packed.write(chunk)
    Path(part).replace(copy)
    return copy
