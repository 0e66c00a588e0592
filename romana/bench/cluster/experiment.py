"""One run on a cluster: pods made, policies changed from turn to turn, and all removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from secrets import token_hex

from romana.bench import figures
from romana.bench.cluster.api import Cluster, cluster
from romana.bench.cluster.inside import Inside, inside, kubectl
from romana.bench.cluster.node import Question
from romana.bench.cluster.objects import chosen_nodes, pods
from romana.bench.errors import BenchError
from romana.bench.measurement import SHARE, WARM_REQUESTS, Samples
from romana.bench.planes import Plane
from romana.bench.results import Results, processor_of, worked_out
from romana.bench.schedule import WARM_ROUNDS, Cell, block_of
from romana.bench.traffic.wire import Block, Measured, Server
from romana.bench.workload import CLOSED_PORT, PORT, Allowed, allowed

IMAGE = "romana.local/busybox:1"
"""Is on all hosts of our installer."""
MOST_POLICIES = 10_000
"""All are created again and again."""
BLOCK = 100
PROVEN = 1_000
FORCE_LIMIT_S = 300.0
LOOK_EVERY_S = 0.05
ANSWER_S, SILENCE_S = 30.0, 0.5

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterExperiment:
    """What is measured.

    Args:
        kubeconfig: of the cluster.
        policies: how many there are.
        sizes: of the responses, in bytes.
        requests: for each cell.
        nodes: of the client and the server; none for the first two.
        image: of the pods; any with `sh` and `chroot`.
    """

    kubeconfig: Path
    policies: Sequence[int]
    sizes: Sequence[int]
    requests: int
    nodes: Sequence[str] = ()
    image: str = IMAGE

    @property
    def block(self) -> int:
        """Requests of a cell in one turn."""
        return block_of(self.requests, BLOCK)

    @property
    def rounds(self) -> int:
        """How often each number of policies has its turn, with the first, which does not count."""
        return -(-self.requests // self.block) + WARM_ROUNDS

    def turns(self) -> Iterator[tuple[int, int, tuple[int | None, ...]]]:
        """Of each turn the round, which number of policies it is, and the sizes in their order."""
        chance = Random(1)  # noqa: S311 - order, not secrecy
        sizes = (None, *self.sizes)
        for number in range(self.rounds):
            for index in chance.sample(range(len(self.policies)), len(self.policies)):
                yield number, index, tuple(chance.sample(sizes, len(sizes)))


def run(experiment: ClusterExperiment, progress: Progress) -> Results:
    """Run it. Interrupted while it measures, it returns what there is so far, with `complete` off.

    Raises:
        BenchError: something does not do what it should, or a request failed.
        SourceError: the API refuses, or the kubeconfig cannot be used.
    """
    if max(experiment.policies) > MOST_POLICIES:
        raise BenchError(
            f"--policies {max(experiment.policies)}: at most {MOST_POLICIES:,} with --cluster, "
            "where all are created anew for every turn"
        )
    kubectl()
    began, clock = datetime.now(timezone.utc), time.monotonic()
    samples = Samples()
    with cluster(experiment.kubeconfig) as api:
        nodes = chosen_nodes(api.nodes(), experiment.nodes)
        name = f"romana-bench-{token_hex(3)}"
        progress("making pods", 0, len(nodes))
        with api.namespace(name):
            addresses = api.run_pods(name, pods(nodes, experiment.image))
            wish = Server((), (PORT, CLOSED_PORT), tuple(experiment.sizes))
            with inside(experiment.kubeconfig, name, nodes, addresses, wish) as there:
                told = there.server.ask(Question(introduce=True))
                complete = _Run(experiment, api, name, there, samples).measured(progress)
        where = f"{api.server}: client on {nodes[0]}, server on {nodes[1]}"
    assert told.machine is not None
    backend = told.backend.split()[0]
    plane = Plane(name=backend, title=f"the cluster's own: {told.backend}")
    measured = figures.Measured([(plane, count) for count in experiment.policies], samples)
    found, per_policy = worked_out(measured)
    return Results(
        began=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
        where=where,
        machine=told.machine,
        planes={plane.name: plane.title},
        backends=(plane.name,),
        policies=tuple(experiment.policies),
        sizes=tuple(experiment.sizes),
        requests=experiment.requests,
        rounds=samples.complete,
        complete=complete,
        left_out=("other data planes: a cluster is measured with its own alone",),
        processor=processor_of(measured),
        figures=found,
        per_policy=per_policy,
    )


class _Run:
    def __init__(
        self,
        experiment: ClusterExperiment,
        api: Cluster,
        namespace: str,
        there: Inside,
        samples: Samples,
    ) -> None:
        self._experiment = experiment
        self._api = api
        self._namespace = namespace
        self._there = there
        self._samples = samples
        self._policies: frozenset[Allowed] = frozenset()
        most = {each for count in experiment.policies for each in allowed(count)}
        self._asked = (*sorted(most, key=lambda each: (each.protocol, each.port)), _CLOSED)

    def measured(self, progress: Progress) -> bool:
        """Every turn; whether to the end."""
        experiment, there = self._experiment, self._there
        of = experiment.rounds * len(experiment.policies)
        try:
            for number, (turn, index, sizes) in enumerate(experiment.turns()):
                progress("measuring in turns", number, of)
                if number == WARM_ROUNDS * len(experiment.policies):
                    idle, served = there.client.ask(Question()), there.traffic.served()
                self._put_in_force(experiment.policies[index], prove=turn < WARM_ROUNDS)
                for size in sizes:
                    measured = self._block(size)
                    if turn >= WARM_ROUNDS:
                        self._samples.add(Cell(index, size), turn, measured)
                if number + 1 == (turn + 1) * len(experiment.policies) and turn >= WARM_ROUNDS:
                    self._samples.finished.add(turn)
                    now, told = there.client.ask(Question()), there.traffic.served()
                    spent = max(1, now.ticks - idle.ticks)
                    self._samples.busy = 1 - (now.idle - idle.idle) / spent
                    self._samples.server_user_s = told.user_s - served.user_s
                    self._samples.server_system_s = told.system_s - served.system_s
        except KeyboardInterrupt:
            return False
        return True

    def _put_in_force(self, count: int, *, prove: bool) -> None:
        """Change to a number of policies, and wait until the server's node enforces them."""
        wanted = frozenset(allowed(count))
        self._api.change_policies(self._namespace, self._policies, wanted)
        self._policies = wanted
        denied = frozenset(self._asked) - wanted if count else frozenset()
        limit = time.monotonic() + FORCE_LIMIT_S
        while (found := self._there.denied(self._asked)) != denied:
            if time.monotonic() > limit:
                raise BenchError(
                    f"{self._there.server.name}: {count} policies are not in force after "
                    f"{FORCE_LIMIT_S:g} s: its agent judges {len(found ^ denied)} ports otherwise"
                )
            time.sleep(LOOK_EVERY_S)
        if prove and count <= PROVEN:
            self._there.server.ask(Question(prove=True))
        self._try(PORT, open_=True)
        self._try(CLOSED_PORT, open_=not count)

    def _try(self, port: int, *, open_: bool) -> None:
        block = Block(
            namespace="",
            address=self._there.addresses[1],
            port=port,
            size=None,
            warm=0,
            count=1,
            limit_s=ANSWER_S if open_ else SILENCE_S,
        )
        if self._there.traffic.answers(block) is not open_:
            state = "denied" if open_ else "admitted"
            raise BenchError(
                f"{self._there.server.name}: with {len(self._policies)} policies in force, port "
                f"{port} is {state}, and should not be"
            )

    def _block(self, size: int | None) -> Measured:
        block = Block(
            namespace="",
            address=self._there.addresses[1],
            port=PORT,
            size=size,
            warm=WARM_REQUESTS,
            count=self._experiment.block,
        )
        began = time.monotonic()
        measured = self._there.traffic.run(block)
        time.sleep((time.monotonic() - began) * (1 / SHARE - 1))
        return measured


_CLOSED = Allowed("TCP", CLOSED_PORT)
