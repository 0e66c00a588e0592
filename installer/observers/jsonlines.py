"""`--json`: one object a line."""

from __future__ import annotations

import json
from typing import TextIO

from installer.events import Event, Notice, as_json
from installer.observers.redaction import redacted


class JsonLines:
    """Writes events as JSON.

    Args:
        stream: usually standard output.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Writes an event; what is only for the log file is left out."""
        if isinstance(event, Notice) and event.level == "debug":
            return
        self._stream.write(redacted(json.dumps(as_json(event), default=str)) + "\n")
        self._stream.flush()
