"""Asks an agent over its socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from romana.agent.errors import AgentError

LIMIT_S = 60


class NoAnswer(AgentError):
    """The agent does not answer, or refuses; one line."""


class NotRunning(NoAnswer):
    """There is no agent there."""


def ask(path: Path, method: str, limit_s: float = LIMIT_S, **parameters: object) -> Any:
    """One question.

    Args:
        path: the agent's socket.
        method: what is asked; see docs/architecture.md.
        limit_s: for the whole answer.
        parameters: of the question.

    Raises:
        NotRunning: there is no agent.
        NoAnswer: it does not answer, or says no.
    """
    question = json.dumps({"method": method, "params": parameters}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(limit_s)
            connection.connect(str(path))
            connection.sendall(question)
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except PermissionError as error:
        raise NoAnswer(f"{path}: only root may ask the agent; try sudo") from error
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "see `systemctl status romana-agent` (upstart: `initctl status`)"
        raise NotRunning(f"the agent is not running on {path}: {reason}; {hint}") from error
    if not line:
        raise NoAnswer(f"the agent on {path} stopped before it had answered {method}")
    answer = json.loads(line)
    if "error" in answer:
        fault = answer["error"]
        raise NoAnswer("; ".join(filter(None, (fault["message"], fault.get("details")))))
    return answer["result"]
