"""A relocatable CPython made of the one that runs the tests, laid out as python-build-standalone
lays out its own: `python/bin/python3.11`, `python/lib/python3.11`.

Theirs has the libraries of its extension modules linked in; this one names those that the root has
to hold instead.
"""

from __future__ import annotations

import io
import os
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from old_root import libraries

NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = frozenset(
    ("__pycache__", "site-packages", "dist-packages", "test", "idlelib", "tkinter", "ensurepip")
)
ORIGIN = b"$ORIGIN/../lib\0"


def pack(path: Path) -> tuple[str, ...]:
    """Writes the archive; returns the libraries that it needs of its root."""
    needed: set[str] = set()
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, source in _members():
            content = source.read_bytes()
            if content.startswith(b"\x7fELF"):
                needed.update(libraries(str(source)))
                content = _relocated(content)
            info = tarfile.TarInfo(f"python/{name}")
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return tuple(sorted(each for each in needed if "libpython" not in each))


def _members() -> Iterator[tuple[str, Path]]:
    program = Path(os.path.realpath(sys.executable))
    yield f"bin/{NAME}", program
    for library in libraries(str(program)):
        if "libpython" in library:
            yield f"lib/{Path(library).name}", Path(library)
    stdlib = Path(sysconfig.get_path("stdlib"))
    for source in sorted(stdlib.rglob("*")):
        place = source.relative_to(stdlib)
        windows = "_tkinter" in place.name or "config-" in str(place)
        if source.is_file() and LEFT_OUT.isdisjoint(place.parts) and not windows:
            yield f"lib/{NAME}/{place}", source


def _relocated(content: bytes) -> bytes:
    """Where it looks for libpython: beside itself, not where it was installed."""
    old = str(Path(sys.base_prefix) / "lib").encode() + b"\0"
    return (
        content.replace(old, ORIGIN.ljust(len(old), b"\0")) if len(old) > len(ORIGIN) else content
    )
