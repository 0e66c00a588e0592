"""Connections tried again and again, many a second, out of a network namespace: what passed while
something happened, and when."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from romana.lab.joining import join

_TICK_S = 0.01


class Stream:
    """Opens a TCP connection to each target, in every round, for as long as the block.

    Args:
        inside: the file of a network namespace. It may vanish meanwhile.
        targets: addresses.
        port: of all of them.
        every_s: from round to round.
        patience_s: how long a connection is waited for.

    `passed` are the times (monotonic seconds) at which connections were accepted; `failed`, those
    at which the others were begun; `tried`, how many were begun.
    """

    def __init__(
        self,
        inside: Path,
        targets: Sequence[str],
        port: int,
        *,
        every_s: float = 0.05,
        patience_s: float = 0.9,
    ) -> None:
        self._inside, self._targets, self._port = inside, tuple(targets), port
        self._every_s, self._patience_s = every_s, patience_s
        self._open: dict[socket.socket, float] = {}
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._joined = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream {inside.name}")
        self.passed: list[float] = []
        self.failed: list[float] = []
        self.tried = 0

    def __enter__(self) -> Stream:
        self._thread.start()
        if not self._joined.wait(5.0):
            raise OSError(f"network namespace {self._inside} cannot be joined")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for connections that are still open."""
        self._stop.set()
        self._thread.join()
        self._selector.close()

    def _run(self) -> None:
        join(self._inside)
        self._joined.set()
        due = time.monotonic()
        while self._open or not self._stop.is_set():
            now = time.monotonic()
            if now >= due and not self._stop.is_set():
                due = now + self._every_s
                for address in self._targets:
                    self._begin(address, now)
            for key, _ in self._selector.select(_TICK_S):
                assert isinstance(key.fileobj, socket.socket)
                error = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                self._end(key.fileobj, accepted=not error)
            for link, began in tuple(self._open.items()):
                if now - began > self._patience_s:
                    self._end(link, accepted=False)

    def _begin(self, address: str, now: float) -> None:
        link = socket.socket()
        link.setblocking(False)
        self.tried += 1
        try:
            link.connect((address, self._port))
        except BlockingIOError:
            self._open[link] = now
            self._selector.register(link, selectors.EVENT_WRITE)
        except OSError:
            # No route at the moment, or the namespace's interface is gone.
            self.failed.append(now)
            link.close()

    def _end(self, link: socket.socket, *, accepted: bool) -> None:
        began = self._open.pop(link)
        if accepted:
            self.passed.append(time.monotonic())
        else:
            self.failed.append(began)
        self._selector.unregister(link)
        link.close()
