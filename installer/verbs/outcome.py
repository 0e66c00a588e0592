"""From what a command does to what its caller sees: an exit code, and an error as one line with
what to do next."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import click

from installer.commands.reporting import Reporting
from installer.errors import (
    HostError,
    InstallerError,
    InventoryError,
    PreflightError,
    UpgradeRefused,
)
from installer.events import Notice, Recap

INTERRUPTED = 130
Result = TypeVar("Result")


def asking(yes: bool) -> Callable[[str], bool]:
    """Asks on a terminal; without one, only --yes is a yes."""

    def ask(question: str) -> bool:
        if not yes and not sys.stdin.isatty():
            click.echo(f"{question} There is no terminal to ask on: give --yes", err=True)
            return False
        return yes or click.confirm(question)

    return ask


def run(command: Callable[[Reporting], int], as_json: bool, diff: bool = False) -> None:
    """Runs what reports events, and exits with its code.

    Args:
        command: given where its events go; returns the exit code.
        as_json: events as JSON, one a line.
        diff: show how files differ.
    """
    words = shlex.join(["romana-install", *sys.argv[1:]])
    reporting = Reporting(words, as_json=as_json, diff=diff)
    # Ended from outside, a run closes its connections and says in the journal where it was.
    # Also where a shell has started it in the background, with its interrupt ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with reporting:
        code = or_exit(lambda: command(reporting), reporting)
    if code == 1 and reporting.log_path is not None:
        click.echo(f"log: {reporting.log_path}", err=True)
    sys.exit(code)


def or_exit(function: Callable[[], Result], reporting: Reporting | None = None) -> Result:
    """The function's result; an error is shown, and ends the program with the error's exit code."""
    try:
        return function()
    except BaseException as error:
        if reporting is not None:
            reporting.pause()  # or words would stand behind a bar
        _leave(error, reporting)
        raise


def _leave(error: BaseException, reporting: Reporting | None) -> None:
    """Shows an error that can be told, and ends the program with its exit code."""
    if isinstance(error, InstallerError):
        if reporting is not None and reporting.as_json:
            for problem in getattr(error, "problems", ()):
                reporting.emit(Notice(text=str(problem), level="warning"))
            reporting.emit(Recap(hosts=(), seconds=0, stopped=error.message))
        _show(error, reporting)
        sys.exit(error.exit_code)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(InstallerError.exit_code)
    if isinstance(error, KeyboardInterrupt):
        click.echo("interrupted; run the same command again to continue", err=True)
        sys.exit(INTERRUPTED)


def _show(error: InstallerError, reporting: Reporting | None) -> None:
    click.echo(f"error: {error.message}", err=True)
    if isinstance(error, InventoryError | PreflightError | UpgradeRefused):
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
    if isinstance(error, HostError) and error.output:
        for line in error.output.splitlines():
            click.echo(f"  {line}", err=True)
    if error.advice:
        click.echo(f"  {error.advice}", err=True)
    if reporting is not None and reporting.log_path is not None:
        click.echo(f"  log: {reporting.log_path}", err=True)
