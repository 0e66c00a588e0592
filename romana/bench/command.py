"""`romana bench`: options in, reports out."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from romana.bench.amounts import names, policy_counts, sizes
from romana.bench.errors import BenchError
from romana.bench.schedule import FEWEST_REQUESTS
from romana.conformance.cases import ConformanceError
from romana.dataplane.backends import BackendName
from romana.lab.command import LabError

if TYPE_CHECKING:
    from romana.bench.experiment import Experiment, Progress
    from romana.bench.results import Results

INTERRUPTED = 130
LINE_EVERY_S = 5.0
MOST_CHURN = 5_000


_out = click.option(
    "--out",
    default=Path("romana-bench"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the results.",
)
_prefix = click.option("--prefix", hidden=True, default="", help="Of the namespaces.")


@click.group()
def bench() -> None:
    """Measure what policies cost, on this machine."""


@bench.command(epilog="Example: romana bench policies --policies 0,200,1000,10000 --out curve")
@click.option("--policies", "counts", default="0,10,50,100,200", show_default=True)
@click.option("--sizes", "bytes_", default="0.5k,1k,10k,100k,1M", show_default=True)
@click.option(
    "--requests", default=2000, show_default=True, type=click.IntRange(FEWEST_REQUESTS, 10**6)
)
@click.option("--backends", default="nftables,iptables", show_default=True)
@click.option(
    "--baselines",
    default="none,established,nat,list,chains",
    show_default=True,
    help="What else is measured; see docs/bench.md.",
)
@_out
@_prefix
def policies(
    counts: str,
    bytes_: str,
    requests: int,
    backends: str,
    baselines: str,
    out: Path,
    prefix: str,
) -> None:
    """The time of a request against the number of policies: the experiment of 2016 again.

    Makes two hosts and two pods for each data plane and number of policies, with the real agent,
    and measures them in turns. Needs root. The defaults are those of 2016."""
    with _told():
        experiment = _experiment(counts, bytes_, requests, backends, baselines, prefix)
        _writable(out)
        results = _run(experiment)
        if not results.figures:
            raise KeyboardInterrupt
    _report(results, out)
    if not results.complete:
        sys.exit(INTERRUPTED)


@bench.command(epilog="Example: romana bench scale --pods 20000 --policies 4000 --nodes 200")
@click.option("--pods", default=100_000, show_default=True, help="In the whole cluster.")
@click.option("--policies", "count", default=10_000, show_default=True, help="Likewise.")
@click.option("--nodes", default=5_000, show_default=True)
@click.option(
    "--churn", default=500, show_default=True, help="Pods that come or go a second; 0 for none."
)
@click.option(
    "--churn-duration", default=10, show_default=True, type=click.IntRange(1, 600), help="Seconds."
)
@click.option("--iterations", default=1_000, show_default=True, help="Namespaces.")
@click.option("--pods-per-node", default=100, show_default=True, help="Of the node in question.")
@click.option(
    "--remotes-namespaces", default=2, show_default=True, help="That a policy admits pods of."
)
@click.option("--remotes-pods", default=1, show_default=True, help="Apps that it admits there.")
@click.option("--single-ports", default=2, show_default=True, help="That it admits them on.")
@click.option("--cidrs", default=1, show_default=True, help="That it admits besides.")
@click.option(
    "--repeat", default=50, show_default=True, type=click.IntRange(1, 1000), help="Of each change."
)
@_out
@_prefix
def scale(
    count: int,
    churn: int,
    churn_duration: int,
    repeat: int,
    out: Path,
    prefix: str,
    **shape: int,
) -> None:
    """What a large cluster costs the agent of one node, and how that grows from a tenth of it.

    Serves a cluster that is made up to the real agent, and times its start and each change until
    the kernel has it. The options have kube-burner's names. Needs root."""
    from rich.console import Console

    from romana.bench.scale import command
    from romana.bench.scale.experiment import PREFIX, Experiment
    from romana.bench.scale.synthetic import Shape

    with _told():
        if not 0 <= churn <= MOST_CHURN:
            raise BenchError(f"--churn {churn}: must be from 0 to {MOST_CHURN:,}")
        wanted = command.checked(Shape(policies=count, **shape))

        def experiment(each: Shape) -> Experiment:
            return Experiment(
                shape=each,
                churn=churn,
                churn_s=churn_duration,
                repeat=repeat,
                prefix=prefix or PREFIX,
            )

        _writable(out)
        with _progress() as progress:
            results = command.scale(wanted, experiment, progress)
    Console(width=None if sys.stdout.isatty() else 500).print(command.table(results.outcomes))
    click.echo(command.write(results, out))
    if not results.complete:
        sys.exit(INTERRUPTED)


def _experiment(
    counts: str, bytes_: str, requests: int, backends: str, baselines: str, prefix: str
) -> Experiment:
    from romana.bench.experiment import PREFIX, Experiment
    from romana.bench.planes import BASELINES, romana

    known = {plane.name: plane for plane in BASELINES}
    chosen = names(
        backends, (name for name in get_args(BackendName) if name != "auto"), "--backends"
    )
    others = names(baselines, known, "--baselines") if baselines else ()
    experiment = Experiment(
        planes=(*(known[name] for name in others), *(romana(name) for name in chosen)),  # type: ignore[arg-type]
        policies=policy_counts(counts),
        sizes=sizes(bytes_),
        requests=requests,
        prefix=prefix or PREFIX,
    )
    assert experiment.testbeds
    return experiment


def _writable(out: Path) -> None:
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


def _run(experiment: Experiment) -> Results:
    from romana.bench.experiment import run

    with _progress() as progress:
        return run(experiment, progress)


def _report(results: Results, out: Path) -> None:
    from rich.console import Console

    from romana.bench.report import write
    from romana.bench.terminal import show

    show(results, Console(width=None if sys.stdout.isatty() else 500, soft_wrap=True))
    for line in write(results, out):
        click.echo(line)


@contextmanager
def _told() -> Iterator[None]:
    """Errors in one line; whoever ends the run finds nothing of it left."""
    # Also where a shell has started it in the background, with its interrupt ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        if os.geteuid() != 0:
            raise BenchError("only root can make hosts and pods: try sudo")  # noqa: TRY301
        yield
    except KeyboardInterrupt:
        click.echo("romana bench: interrupted before anything was measured", err=True)
        sys.exit(INTERRUPTED)
    except (BenchError, ConformanceError, LabError, OSError) as error:
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
def _progress() -> Iterator[Progress]:
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
