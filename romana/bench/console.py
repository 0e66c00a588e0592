"""Around a run of the bench: errors in one line, progress, and whether results can be written."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from romana.bench.errors import BenchError
from romana.conformance.cases import ConformanceError
from romana.lab.command import LabError
from romana.sources.errors import SourceError

if TYPE_CHECKING:
    from romana.bench.experiment import Progress

INTERRUPTED = 130
LINE_EVERY_S = 5.0


def writable(out: Path) -> None:
    """Make the directory of the results.

    Raises:
        BenchError: it cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--out {out}: {error.strerror}") from error
    if not os.access(out, os.W_OK):
        raise BenchError(f"--out {out}: no permission to write there")


@contextmanager
def told(*, root: bool = True) -> Iterator[None]:
    """Errors in one line; whoever ends the run finds nothing of it left."""
    # Also where a shell has started it in the background, with its interrupt ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        if root and os.geteuid() != 0:
            raise BenchError("only root can make hosts and pods: try sudo")  # noqa: TRY301
        yield
    except KeyboardInterrupt:
        click.echo("romana bench: interrupted before anything was measured", err=True)
        sys.exit(INTERRUPTED)
    except (BenchError, ConformanceError, LabError, SourceError, OSError) as error:
        click.echo(f"romana bench: {error}", err=True)
        sys.exit(1)


def _lines() -> Progress:
    last, at = "", 0.0

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last, at
        now = time.monotonic()
        if what != last or now > at + LINE_EVERY_S:
            last, at = what, now
            click.echo(f"romana bench: {what}: {done} of {of}", err=True)

    return tell


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar where somebody looks; elsewhere a line now and then."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def told(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        yield told
