"""One run of `romana bench scale`: a cluster served to the real agent, and what it costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec
import yaml

from romana.agent.client import NoAnswer, ask
from romana.bench.errors import BenchError
from romana.bench.scale.orders import Change, Churn, Order, Serve, Told
from romana.bench.scale.outcome import Kernel, Outcome, Start, Times
from romana.bench.scale.process import usage
from romana.bench.scale.synthetic import FIRST_NODE, Cluster, Shape
from romana.lab.namespaces import Lab, Namespace

PREFIX = "romana-bench-scale"
NETWORK = IPv4Network("198.18.0.0/15")
PORT = 8080
START_LIMIT_S = 180.0
STOP_LIMIT_S = 10.0
ATTACH_LIMIT_S = 60.0
IDLE_S = 5.0
TABLE = ("inet", "romana")
CHANGES = (
    ("pod added", "pod's labels changed", "pod added", "pod removed"),
    ("policy added", "policy removed"),
)
"""What is done, again and again, in this order."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is measured.

    Args:
        shape: of the cluster.
        churn: events a second of pods that come and go; 0 for none.
        churn_s: for how long.
        repeat: how often each change is made.
        prefix: of the namespaces.
    """

    shape: Shape
    churn: int
    churn_s: float
    repeat: int
    prefix: str = PREFIX


class Agent:
    """The real agent, with an API of its own in its network namespace."""

    def __init__(self, host: Namespace, work: Path) -> None:
        self._host = host
        self._work = work
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = work / "agent.sock"
        config = {
            "node": "node-0",
            "source": "kubernetes",
            "kubernetes": {"server": f"http://127.0.0.1:{PORT}"},
            "backend": "nftables",
            "socket": str(self.socket),
            "state": str(work / "state"),
            "metrics": "127.0.0.1:9607",
            "verify_every": 0,
        }
        (work / "agent.yml").write_text(yaml.safe_dump(config))

    @property
    def pid(self) -> int:
        """The process's."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it; seconds until everything is in force.

        Raises:
            BenchError: it ends, or is not done in time.
        """
        words = ("-m", "romana.agent.daemon", "--config", str(self._work / "agent.yml"))
        began = time.monotonic()
        with (self._work / "agent.log").open("ab") as log:
            self._process = self._host.popen(sys.executable, *words, stdout=log, stderr=log)
        while time.monotonic() < began + START_LIMIT_S and self._process.poll() is None:
            try:
                ask(self.socket, "enforced", START_LIMIT_S)
            except NoAnswer:
                time.sleep(0.01)  # no socket yet, or not everything read within its own limit
            else:
                return time.monotonic() - began
        lines = (self._work / "agent.log").read_text(errors="replace").splitlines()
        raise BenchError(f"the agent does not start: {'; '.join(lines[-3:])}")

    def stop(self) -> None:
        """End it; what it wrote stays in the kernel."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Api:
    """The process that serves the cluster."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def obey(self, order: Order) -> Told:
        """Give an order and wait for the answer.

        Raises:
            BenchError: it could not be carried out.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchError("the API that the bench serves has ended")
        told = msgspec.json.decode(line, type=Told)
        if told.failure:
            raise BenchError(told.failure)
        return told


def run(experiment: Experiment, progress: Progress) -> Outcome:
    """Run it.

    Raises:
        BenchError: the agent does not start, or the kernel does not get a change.
        LabError: the host cannot be made.
    """
    shape = experiment.shape
    with (
        Lab(experiment.prefix, NETWORK) as lab,
        tempfile.TemporaryDirectory(prefix="romana-bench-") as work,
    ):
        host = lab.host("node-0", IPv4Address(FIRST_NODE))
        with _serving(host, shape) as api:
            agent = Agent(host, Path(work))
            try:
                return _measured(experiment, lab, host, agent, api, progress)
            finally:
                agent.stop()


def _measured(
    experiment: Experiment,
    lab: Lab,
    host: Namespace,
    agent: Agent,
    api: Api,
    progress: Progress,
) -> Outcome:
    shape = experiment.shape
    progress("starting", 0, 2)
    agent.start()
    _attach(lab, agent, shape, progress)
    agent.stop()
    progress("starting", 1, 2)
    seconds = agent.start()
    used = usage(agent.pid)
    start = Start(seconds=seconds, processor_s=used.processor_s)
    time.sleep(IDLE_S)
    idle = usage(agent.pid)
    kernel = Kernel.of(host.run("nft", "-j", "list", "table", *TABLE))
    changes: dict[str, list[float]] = {}
    for turn in range(experiment.repeat):
        progress("changing", turn, experiment.repeat)
        for what in (each for group in CHANGES for each in group):
            told = api.obey(Change(what, turn))
            changes.setdefault(what, []).extend(told.milliseconds)
    churn, share = _churn(experiment, agent, api, progress)
    after = usage(agent.pid)
    return Outcome(
        shape=shape,
        start=start,
        resident_mib=idle.resident_mib,
        peak_mib=after.peak_mib,
        idle_share=(idle.processor_s - used.processor_s) / IDLE_S,
        changes={name: Times.of(each) for name, each in changes.items()},
        churn_per_s=experiment.churn,
        churn=Times.of(churn.milliseconds) if churn and churn.milliseconds else None,
        churn_share=share,
        churn_commits=churn.commits if churn else 0,
        churn_folded=churn.folded if churn else 0,
        kernel=kernel,
    )


def _churn(
    experiment: Experiment, agent: Agent, api: Api, progress: Progress
) -> tuple[Told | None, float]:
    """What was told of it, and the share of a processor that the agent used."""
    if not experiment.churn:
        return None, 0.0
    progress("churning", 0, 1)
    before = usage(agent.pid)
    began = time.monotonic()
    told = api.obey(Churn(experiment.churn, experiment.churn_s))
    worked = usage(agent.pid).processor_s - before.processor_s
    return told, worked / (time.monotonic() - began)


def _attach(lab: Lab, agent: Agent, shape: Shape, progress: Progress) -> None:
    """Attach this host's pods, as the plugin asks for it."""
    cluster = Cluster(shape)
    for number in range(shape.pods_per_node):
        progress("attaching pods", number, shape.pods_per_node)
        pod, namespace = cluster.pod(number), lab.namespace(f"pod-{number}")
        parameters = {
            "container": f"container-{number}",
            "ifname": "eth0",
            "netns": str(namespace.path),
            "args": {"K8S_POD_NAMESPACE": pod.namespace, "K8S_POD_NAME": pod.name},
            "ips": [str(each) for each in pod.addresses],
        }
        try:
            ask(agent.socket, "cni.add", ATTACH_LIMIT_S, **parameters)
        except NoAnswer as error:
            raise BenchError(f"pod {pod.namespace}/{pod.name}: {error}") from error


@contextmanager
def _serving(host: Namespace, shape: Shape) -> Iterator[Api]:
    process = subprocess.Popen(
        host.command(sys.executable, "-m", "romana.bench.scale.api"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        api = Api(process)
        api.obey(Serve(shape, PORT))
        yield api
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
