"""The log file: every event with its time, and the output of every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from installer.events import Event, Notice, Progress, as_json
from installer.observers.redaction import redacted

KEPT = 30
"""How many log files a cluster keeps."""


class Log:
    """Writes a log file.

    Args:
        path: the file; its directory is made.
        now: the present time as text.
    """

    def __init__(self, path: Path, now: Callable[[], str]) -> None:
        self.path = path
        self._now = now
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(path.parent.glob("*.log"))[: -KEPT + 1]:
            old.unlink()
        path.touch(mode=0o600)
        self._file: TextIO = path.open("a")

    def __call__(self, event: Event) -> None:
        """Writes an event; progress is left out, for there is too much of it."""
        if not isinstance(event, Progress):
            self.write(_text(event))

    def write(self, text: str) -> None:
        """Writes text that is no event: an error, a traceback."""
        self._file.write(f"{self._now()} {redacted(text)}\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _text(event: Event) -> str:
    if isinstance(event, Notice):
        return f"{event.level}: {event.text}"
    data = as_json(event)
    long = {key: data.pop(key) for key in ("diff", "evidence") if data.get(key)}
    words = " ".join(f"{key}={value!r}" for key, value in data.items() if value not in ("", 0, ()))
    return "\n".join([words, *long.values()])
