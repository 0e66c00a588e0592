"""What the commands of `romana` have in common: asking the agent, and printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from romana.agent import client

SOCKET = "/run/romana/agent.sock"
LIMIT_S = 30
ASK_THE_CLUSTER = "away from hosts, ask the cluster: --source kubernetes"


class AgentUnavailable(click.ClickException):
    """The agent does not answer, or refuses."""


def ask(
    path: str, method: str, limit_s: float = LIMIT_S, *, elsewhere: str = "", **parameters: object
) -> Any:
    """Ask the agent.

    Args:
        path: its socket.
        method: what is asked; see docs/architecture.md.
        limit_s: for the whole answer.
        elsewhere: what else may be done where there is no agent.
        parameters: of the question.

    Raises:
        AgentUnavailable: it does not answer, or says no; the message is one line.
    """
    try:
        return client.ask(Path(path), method, limit_s, **parameters)
    except client.NotRunning as error:
        raise AgentUnavailable("; ".join(filter(None, (str(error), elsewhere)))) from error
    except client.NoAnswer as error:
        raise AgentUnavailable(str(error)) from error


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their columns; whole, even where the terminal is narrow and output is
    piped."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 500).print(shown)


def asking(function: Callable[..., None]) -> Callable[..., None]:
    """The options that every question has besides its own."""
    function = click.option(
        "--socket", "path", default=SOCKET, show_default=True, help="The agent's socket."
    )(function)
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(
        function
    )


def dump(answer: object) -> None:
    """Print an answer as JSON."""
    click.echo(json.dumps(answer, indent=2))
