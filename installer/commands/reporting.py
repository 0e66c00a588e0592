"""The observers of one command: console or JSON lines, and, for a run that changes a cluster, log
file and journal."""

from __future__ import annotations

import contextlib
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console as Rich

from installer.cluster import Cluster
from installer.engine.journal import Journal
from installer.errors import HostError, InstallerError
from installer.events import Emit, Event
from installer.observers.console import Console
from installer.observers.jsonlines import JsonLines
from installer.observers.log import Log


def utc() -> str:
    """The present time: "2026-11-24 11:17:17"."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


class Reporting:
    """Passes events to observers, one at a time, from any thread.

    Args:
        command: as the operator typed it.
        as_json: JSON lines on standard output instead of text.
        diff: show unified diffs.
    """

    def __init__(self, command: str, *, as_json: bool = False, diff: bool = False) -> None:
        self.command = command
        self.as_json = as_json
        self.log_path: Path | None = None
        self._lock = threading.Lock()
        self._console = None if as_json else Console(Rich(soft_wrap=True), diff=diff)
        self._observers: list[Emit] = [self._console or JsonLines(sys.stdout)]

    def __enter__(self) -> Reporting:
        if self._console is not None:
            self._console.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def emit(self, event: Event) -> None:
        """Takes an event."""
        with self._lock:
            for observer in self._observers:
                observer(event)

    def add(self, observer: Emit) -> None:
        """One more observer, from now on."""
        self._observers.append(observer)

    def pause(self) -> None:
        """Takes the live part of the screen away, for a question."""
        if self._console is not None:
            self._console.close()

    @contextlib.contextmanager
    def kept(self, cluster: Cluster) -> Iterator[None]:
        """Keeps a log and a journal in the cluster's state directory; both learn why a run
        ended."""
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        log = Log(cluster.state / "logs" / f"{stamp}.log", utc)
        journal = Journal(cluster.state / "journal.json", utc)
        self.log_path = log.path
        self._observers += [log, journal]
        try:
            yield
        except InstallerError as error:
            journal.stopped(error.host if isinstance(error, HostError) else "", error.message)
            log.write(f"error: {error.message}")
            raise
        except KeyboardInterrupt:
            journal.interrupted()
            log.write("interrupted")
            raise
        except BaseException:
            journal.stopped("", "of a fault of the installer")
            log.write(traceback.format_exc())
            raise
        finally:
            self._observers.remove(log)
            self._observers.remove(journal)
            log.close()
