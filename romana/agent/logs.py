"""Log lines of the agent: a sentence, then what it is about as `key=value`, for people and machines
alike."""

from __future__ import annotations

import logging
import sys

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """`LEVEL message key=value ...`; the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback, where there is one, below it."""
        extra = " ".join(
            f"{key}={_quoted(value)}"
            for key, value in record.__dict__.items()
            if key not in _STANDARD
        )
        line = f"{record.levelname:<7} {record.getMessage()}" + (f"  {extra}" if extra else "")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if not text or " " in text else text


def set_up(level: str) -> None:
    """Send the agent's log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    logger = logging.getLogger("romana")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
