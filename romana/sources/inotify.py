"""Changes in a directory, told by the kernel. A few lines of inotify(7) instead of a dependency on
every host."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_ONLYDIR = 0x1000000
MASK = (
    IN_ATTRIB
    | IN_CLOSE_WRITE
    | IN_MOVED_FROM
    | IN_MOVED_TO
    | IN_CREATE
    | IN_DELETE
    | IN_DELETE_SELF
    | IN_MOVE_SELF
    | IN_ONLYDIR
)

_libc = ctypes.CDLL(None, use_errno=True)


class DirectoryWatch:
    """Tells that something in a directory may have changed. What it was, the reader finds out by
    looking.

    Raises:
        OSError: the directory cannot be watched.
    """

    def __init__(self, directory: Path) -> None:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot be set up")
        if _libc.inotify_add_watch(self._fd, os.fsencode(directory), MASK) < 0:
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, os.strerror(code), str(directory))
        self._event = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._drain)

    def close(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def changed(self) -> None:
        """Wait for a change since the last call returned."""
        await self._event.wait()
        self._event.clear()

    def _drain(self) -> None:
        try:
            os.read(self._fd, 65536)
        except BlockingIOError:
            return
        self._event.set()
