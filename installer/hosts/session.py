"""What the engine needs of a host: run a script with files beside it. SSH and the fake are two
ways to have one."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from installer.resources.base import Payload

Sent = Callable[[int, int], None]
"""Told bytes sent and bytes in all, now and then, while files travel."""
Line = Callable[[str], None]
"""Told each line of output as it comes."""
CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a script printed and how it ended."""

    status: int
    stdout: str
    stderr: str = ""

    def last_lines(self, count: int = 20) -> str:
        """The end of what it said: errors if there are any, output otherwise."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-count:])


class Session(Protocol):
    """One host that scripts can be run on, as root."""

    @property
    def host(self) -> str:
        """The host's name."""

    @property
    def round_trips(self) -> int:
        """How often the host was asked something so far, the connection included."""

    def run(
        self,
        script: str,
        *,
        timeout_s: float = 60,
        files: Sequence[Payload] = (),
        on_line: Line | None = None,
        on_sent: Sent | None = None,
    ) -> Output:
        """Runs POSIX sh text as root, in one round trip, files included.

        A script without files leaves no trace on the host's disk. One with files runs in a
        directory that holds them under their names and is removed afterwards.

        Raises:
            Unreachable: the connection is gone.
            CommandFailed: it did not end within `timeout_s` seconds.
        """

    def close(self) -> None:
        """Ends the session."""


def pack(files: Sequence[Payload]) -> tuple[int, Iterator[bytes]]:
    """The files as one uncompressed tar: its size in bytes, and its content in pieces, read as
    they are needed."""
    sizes = [_size(file) for file in files]
    padded = sum(512 + size + -size % 512 for size in sizes)
    return padded + 1024, _pieces(files, sizes)


def _pieces(files: Sequence[Payload], sizes: Sequence[int]) -> Iterator[bytes]:
    for file, size in zip(files, sizes, strict=True):
        member = tarfile.TarInfo(file.name)
        member.size, member.mode = size, 0o600
        yield member.tobuf(tarfile.USTAR_FORMAT)
        yield from _content(file, size)
        yield b"\0" * (-size % 512)
    yield b"\0" * 1024


def _size(file: Payload) -> int:
    return len(file.content or b"") if file.source is None else file.source.stat().st_size


def _content(file: Payload, size: int) -> Iterator[bytes]:
    stream = io.BytesIO(file.content or b"") if file.source is None else file.source.open("rb")
    with stream:
        while size > 0:
            piece = stream.read(min(CHUNK, size))
            if not piece:
                raise OSError(
                    f"{os.fspath(file.source or file.name)} became shorter while it was sent"
                )
            size -= len(piece)
            yield piece
