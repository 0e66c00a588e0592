"""`romana bench`: options in, reports out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from romana.bench.amounts import names, policy_counts, sizes
from romana.bench.console import INTERRUPTED, progress, told, writable
from romana.bench.errors import BenchError
from romana.bench.schedule import FEWEST_REQUESTS
from romana.dataplane.backends import BackendName

if TYPE_CHECKING:
    from romana.bench.cluster.experiment import ClusterExperiment
    from romana.bench.experiment import Experiment
    from romana.bench.results import Results

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
@click.option(
    "--seconds",
    default=240,
    show_default=True,
    type=click.IntRange(0, 36_000),
    help="For which, at most, cells of wide intervals are measured in more turns; not --cluster.",
)
@click.option("--backends", default="nftables,iptables", show_default=True)
@click.option(
    "--baselines",
    default="none,established,nat,list,chains",
    show_default=True,
    help="What else is measured; see docs/bench.md.",
)
@click.option(
    "--cluster",
    "in_cluster",
    is_flag=True,
    help="Measure the cluster of the kubeconfig, with its own data plane, instead of this machine.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --cluster; otherwise KUBECONFIG, or as kubectl has it.",
)
@click.option(
    "--nodes", default="", metavar="CLIENT,SERVER", help="With --cluster: where the pods are."
)
@click.option("--image", default="", help="With --cluster: of the pods; it has sh and chroot.")
@_out
@_prefix
@click.pass_context
def policies(
    context: click.Context,
    counts: str,
    bytes_: str,
    requests: int,
    seconds: int,
    backends: str,
    baselines: str,
    in_cluster: bool,
    kubeconfig: Path | None,
    nodes: str,
    image: str,
    out: Path,
    prefix: str,
) -> None:
    """The time of a request against the number of policies: the experiment of 2016 again.

    Makes two hosts and two pods for each data plane and number of policies, with the real agent,
    and measures them in turns. Needs root. The defaults are those of 2016.

    With --cluster, makes two pods on two nodes of an installed cluster, and policies through its
    API. Needs kubectl, and no root."""
    with told(root=not in_cluster):
        _together(context, in_cluster)
        if in_cluster:
            wanted = _in_cluster(counts, bytes_, requests, kubeconfig, nodes, image)
            writable(out)
            results = _run_in_cluster(wanted)
        else:
            experiment = _experiment(counts, bytes_, requests, seconds, backends, baselines, prefix)
            writable(out)
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

    with told():
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

        writable(out)
        with progress() as shown:
            results = command.scale(wanted, experiment, shown)
    Console(width=None if sys.stdout.isatty() else 500).print(command.table(results.outcomes))
    click.echo(command.write(results, out))
    if not results.complete:
        sys.exit(INTERRUPTED)


@bench.command(hidden=True)
@click.argument("role", type=click.Choice(("client", "server", "node")))
def inside(role: str) -> None:
    """What the bench runs in its pods, and talks to."""
    from romana.bench.cluster import node
    from romana.bench.traffic import client, server

    sys.exit({"client": client.main, "server": server.main, "node": node.main}[role]())


def _experiment(
    counts: str,
    bytes_: str,
    requests: int,
    seconds: int,
    backends: str,
    baselines: str,
    prefix: str,
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
        seconds=seconds,
        prefix=prefix or PREFIX,
    )
    assert experiment.testbeds
    return experiment


def _together(context: click.Context, in_cluster: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        BenchError: which one, and why.
    """
    given = click.core.ParameterSource.COMMANDLINE
    others = (
        ("backends", "baselines", "seconds") if in_cluster else ("kubeconfig", "nodes", "image")
    )
    reason = "not with --cluster: its own data plane is measured" if in_cluster else "only with"
    for name in others:
        if context.get_parameter_source(name) is given:
            raise BenchError(f"--{name}: {reason}{'' if in_cluster else ' --cluster'}")


def _in_cluster(
    counts: str, bytes_: str, requests: int, kubeconfig: Path | None, nodes: str, image: str
) -> ClusterExperiment:
    from romana.bench.cluster.experiment import IMAGE, ClusterExperiment
    from romana.sources.kubeconfig import candidates

    path = kubeconfig or next(candidates(), None)
    if path is None:
        raise BenchError("--cluster: there is no kubeconfig: set KUBECONFIG or --kubeconfig")
    two = tuple(each.strip() for each in nodes.split(",")) if nodes else ()
    if two and (len(set(two)) != 2 or len(two) != 2):
        raise BenchError(f"--nodes {nodes}: write two, the client's and the server's, as a,b")
    return ClusterExperiment(
        kubeconfig=path,
        policies=policy_counts(counts),
        sizes=sizes(bytes_),
        requests=requests,
        nodes=two,
        image=image or IMAGE,
    )


def _run_in_cluster(experiment: ClusterExperiment) -> Results:
    from romana.bench.cluster.experiment import run

    with progress() as shown:
        return run(experiment, shown)


def _run(experiment: Experiment) -> Results:
    from romana.bench.experiment import run

    with progress() as shown:
        return run(experiment, shown)


def _report(results: Results, out: Path) -> None:
    from rich.console import Console

    from romana.bench.report import write
    from romana.bench.terminal import show

    show(results, Console(width=None if sys.stdout.isatty() else 500, soft_wrap=True))
    for line in write(results, out):
        click.echo(line)
