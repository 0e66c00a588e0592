"""The file that a bundle is, byte for byte: written from members, read back and verified.

A tar in which nothing is left to chance: headers hold name and size alone, padding is zero, and
after the last member come two blocks of zeros and nothing else. What is read is compared with what
would have been written, so there is no byte that could differ unnoticed.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from installer.bundle.contents import MANIFEST, SIGNATURE, SUM, Manifest, Member, decode, encode
from installer.errors import ArtifactError

BLOCK = 512
_CHUNK = 1 << 20
_HEAD_LIMIT = 16 << 20
"""Bytes of the manifest, which is read before anybody has vouched for it."""
_AGAIN = "get the bundle again; nothing was touched"
_FIRST, _END = MANIFEST, "the end"

Advance = Callable[[int, int], None]
"""Receives bytes done and bytes in all."""
Sink = Callable[[Member], BinaryIO]
"""Opens what receives a member's content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A bundle's beginning: the manifest as it is written and as it is meant, and the
    signature."""

    text: bytes
    manifest: Manifest
    signature: bytes


def write(
    path: Path,
    manifest: Manifest,
    signature: bytes,
    sources: Mapping[str, Path],
    advance: Advance,
) -> None:
    """Writes a bundle, whole or not at all.

    Args:
        path: of the bundle; one that is there already is replaced.
        manifest: whose members are written in their order.
        signature: over `encode(manifest)`; empty for none.
        sources: the files by member name.
        advance: is told bytes.

    Raises:
        OSError: it cannot be written there.
        ArtifactError: a file has changed since its sum was taken.
    """
    text = encode(manifest)
    total, done = sum(member.size for member in manifest.members), 0
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as out:
            head = {MANIFEST: text, SUM: _sum_line(text), SIGNATURE: signature}
            for name, content in head.items():
                out.write(_header(name, len(content)) + content + _padding(len(content)))
            for member in manifest.members:
                out.write(_header(member.name, member.size))
                digest = hashlib.sha256()
                for piece in _pieces(sources[member.name]):
                    digest.update(piece)
                    out.write(piece)
                    done += len(piece)
                    advance(done, total)
                out.write(_padding(member.size))
                if digest.hexdigest() != member.sha256:
                    raise ArtifactError(
                        f"{sources[member.name]}: changed while the bundle was made", "run it again"
                    )
            out.write(bytes(2 * BLOCK))
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def read_head(path: Path) -> Head:
    """The manifest and its signature, which nobody has vouched for yet.

    Raises:
        ArtifactError: it is no bundle, or its beginning is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return _Reader(path, stream).head()


def verify(path: Path, head: Head, sink: Sink, advance: Advance) -> None:
    """Reads a bundle from beginning to end and compares every byte.

    Args:
        path: of the bundle.
        head: what `read_head` read of it, with a signature that has been judged.
        sink: receives the members' content as it is read; it is worth nothing unless this ends
            well.
        advance: is told bytes.

    Raises:
        ArtifactError: a byte is not as it was written; names the member that it belongs to.
        OSError: it cannot be read, or what receives the content cannot be written.
    """
    total, done = sum(member.size for member in head.manifest.members), 0
    with path.open("rb") as stream:
        reader = _Reader(path, stream)
        if reader.head() != head:
            raise reader.damaged(MANIFEST, "it changed while it was read")
        for member in head.manifest.members:
            reader.expect(member.name, _header(member.name, member.size), "its header is another's")
            digest = hashlib.sha256()
            with sink(member) as out:
                for piece in reader.content(member.name, member.size):
                    digest.update(piece)
                    out.write(piece)
                    done += len(piece)
                    advance(done, total)
            if digest.hexdigest() != member.sha256:
                raise reader.damaged(member.name, f"its sha256 is not what {MANIFEST} says")
            reader.expect(member.name, _padding(member.size), "its padding is not empty")
        reader.end()


class _Reader:
    """Reads what is expected, and says where it is something else."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream = path, stream

    def damaged(self, name: str, why: str) -> ArtifactError:
        return ArtifactError(f"{self._path}: {name} is damaged: {why}", _AGAIN)

    def head(self) -> Head:
        text = self._small(MANIFEST)
        line, signature = self._small(SUM), self._small(SIGNATURE)
        if line != _sum_line(text):
            raise self.damaged(MANIFEST, f"its sha256 is not what {SUM} says")
        return Head(text=text, manifest=decode(text, str(self._path)), signature=signature)

    def expect(self, name: str, wanted: bytes, why: str) -> None:
        if self._exactly(name, len(wanted)) != wanted:
            raise self.damaged(name, why)

    def content(self, name: str, size: int) -> Iterator[bytes]:
        while size:
            piece = self._exactly(name, min(size, _CHUNK))
            size -= len(piece)
            yield piece

    def end(self) -> None:
        self.expect(_END, bytes(2 * BLOCK), "it is not empty")
        if self._stream.read(1):
            raise self.damaged(_END, "more follows it")

    def _small(self, name: str) -> bytes:
        """A member of the head, whose size nothing but its own header says."""
        raw = self._exactly(name, BLOCK)
        try:
            found = tarfile.TarInfo.frombuf(raw, "ascii", "strict")
        except (tarfile.TarError, ValueError):
            found = tarfile.TarInfo()
        if found.name != name and name == _FIRST:
            raise ArtifactError(
                f"{self._path}: is no bundle of romana-install, or {MANIFEST} is damaged", _AGAIN
            )
        if found.size > _HEAD_LIMIT or raw != _header(name, max(found.size, 0)):
            raise self.damaged(name, "its header is another's")
        content = self._exactly(name, found.size)
        self.expect(name, _padding(found.size), "its padding is not empty")
        return content

    def _exactly(self, name: str, size: int) -> bytes:
        content = self._stream.read(size)
        if len(content) < size:
            raise ArtifactError(
                f"{self._path}: ends in the middle of {name}: it is not whole", _AGAIN
            )
        return content


def _header(name: str, size: int) -> bytes:
    """Owner 0 and time 0 are TarInfo's defaults. Names of wheels are too long for plain USTAR."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _sum_line(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            yield piece
