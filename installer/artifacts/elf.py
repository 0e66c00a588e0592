"""Which C library a program needs, read out of the program itself.

A dynamically linked program lists, in its section of needed versions, every version of glibc that
one of its symbols came with; it starts only where the newest of them is there. A static one lists
none. The layout is that of the System V ABI and of the Linux Standard Base's symbol versioning.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, least significant byte first: both architectures of hosts
_VERSION_NEEDS = 0x6FFFFFFE
_GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)")


def glibc_needed(path: Path) -> tuple[int, int] | None:
    """The oldest glibc that a program starts with; None where it needs none (a static program, or
    no program).

    Args:
        path: of an executable or a shared library, not compressed.
    """
    with path.open("rb") as stream:
        header = stream.read(64)
        if not header.startswith(_MAGIC) or len(header) < 64:
            return None
        matches = map(_GLIBC.match, _names(stream, header))
        found = [(int(match[1]), int(match[2])) for match in matches if match]
    return max(found, default=None)


def _names(stream: BinaryIO, header: bytes) -> Iterator[bytes]:
    """The names of all versions needed."""
    (table,) = struct.unpack_from("<Q", header, 40)
    size, count = struct.unpack_from("<HH", header, 58)
    sections = [_read(stream, table + number * size, size) for number in range(count)]
    for section in sections:
        kind, link = struct.unpack_from("<4xI32xI", section)
        if kind == _VERSION_NEEDS:
            texts = _content(stream, sections[link])
            yield from _of_section(_content(stream, section), texts)


def _of_section(needs: bytes, texts: bytes) -> Iterator[bytes]:
    library = 0
    while True:
        _, versions, _, first, following = struct.unpack_from("<HHIII", needs, library)
        at = library + first
        for _ in range(versions):
            name, further = struct.unpack_from("<8xII", needs, at)
            yield texts[name : texts.index(b"\0", name)]
            at += further
        if not following:
            return
        library += following


def _content(stream: BinaryIO, section: bytes) -> bytes:
    return _read(stream, *struct.unpack_from("<24xQQ", section))


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    stream.seek(start)
    return stream.read(size)
