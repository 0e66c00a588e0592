"""The cache of images and packages: shared by all clusters, filled by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installer.events import Emit, Notice


def images_directory() -> Path:
    """$XDG_CACHE_HOME or ~/.cache, below `romana/images`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "romana" / "images"


@contextmanager
def alone(directory: Path, emit: Emit) -> Iterator[int]:
    """Hold the directory's lock; yields its descriptor. Says so when it has to wait for another."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            emit(Notice(text=f"waiting for another run that fills {directory}"))
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream.fileno()


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """A directory to fill, renamed to `target` when the block ends well. What a killed run left
    half-filled is removed first. To be used under the lock."""
    work = target.with_name(f".{target.name}.unfinished")
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    yield work
    work.rename(target)
