"""Whether denied connections are logged, as an operator has chosen while the agent ran: kept over
restarts."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator has chosen while the agent ran; it counts before the configuration."""

    on: bool
    namespaces: tuple[str, ...] = ()


def read(path: Path) -> Choice | None:
    """What was chosen; None where nothing was, or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Choice)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning(
            "what was chosen by `romana log denied` cannot be read; the configuration counts",
            extra={"file": path, "reason": str(error)},
        )
        return None


def keep(path: Path, choice: Choice | None) -> None:
    """Keep a choice, in one step."""
    if choice is None:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(choice) + b"\n")
    temporary.replace(path)
