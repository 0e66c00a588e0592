"""Applies cases to a running cluster, step after step, and judges every cell."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from romana.conformance.cases import Case, Cell, ConformanceError, PodState, Sides, Step
from romana.conformance.cluster import Cluster, host_addresses
from romana.conformance.directory import ManifestDirectory
from romana.conformance.manifests import Manifests, cluster_manifests, step_manifests
from romana.conformance.placement import Placement, place
from romana.conformance.prober import Prober
from romana.conformance.report import Report, Wrong
from romana.dataplane.backends import BackendName
from romana.lab.namespaces import Lab
from romana.lab.probes import Outcome

PREFIX = "romana-conformance"
EXPLAINED = 5
"""Of the wrong cells of one step, so many are explained: the others mostly have the same cause."""

Progress = Callable[[Case, int], None]
"""Told after each case, with the number of wrong cells in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a run takes place.

    Args:
        prefix: of the namespaces; a run that was killed leaves some, and the next one of the same
            prefix removes them.
        hosts: how many hosts share the pods.
        backend: the data plane's.
        log_denied: whether the agents log what is denied, which is to make no difference.
    """

    prefix: str = PREFIX
    hosts: int = 2
    backend: BackendName = "nftables"
    log_denied: bool = False


def run(cases: Sequence[Case], setting: Setting, progress: Progress) -> Report:
    """Make a cluster, apply all cases and remove it again.

    Raises:
        ConformanceError: the cluster cannot be made, a pod cannot be attached, or an agent cannot
            bring a step in force.
        LabError: a namespace cannot be made.
    """
    began = time.monotonic()
    names = tuple(f"host{number}" for number in range(1, setting.hosts + 1))
    addresses = {pod.address for case in cases for step in case.steps for pod in step.pods}
    if len({address.version for address in addresses}) > 1:
        raise ConformanceError("pods with IPv4 and with IPv6 addresses: run them apart")
    placement = place(addresses, names)
    nodes = host_addresses(names)
    with Lab(setting.prefix) as lab, tempfile.TemporaryDirectory(prefix="romana-") as work:
        manifests = Path(work, "manifests")
        manifests.mkdir()
        directory = ManifestDirectory(manifests)
        fixed = cluster_manifests(placement, nodes)
        directory.apply(fixed)
        cluster = Cluster(
            lab,
            placement,
            nodes,
            manifests=manifests,
            work=Path(work),
            backend=setting.backend,
            settings={"log_denied": {"enabled": setting.log_denied}},
        )
        try:
            cluster.start()
            with Prober() as prober, ThreadPoolExecutor(2) as threads:
                runner = Runner(cluster, placement, directory, fixed, prober, threads)
                wrong = tuple(runner.run(cases, progress))
        finally:
            cluster.stop()
    steps = [step for case in cases for step in case.steps]
    return Report(
        backend=setting.backend,
        hosts=setting.hosts,
        cases=len(cases),
        steps=len(steps),
        cells=sum(step.cells for step in steps),
        judged=runner.judged,
        wrong=wrong,
        seconds=time.monotonic() - began,
        convergence_s=tuple(runner.convergence_s),
    )


class Runner:
    """Applies steps to a cluster that runs already.

    Args:
        cluster: hosts and agents.
        placement: which host holds which pod.
        directory: what the agents follow.
        fixed: the manifests that no step changes.
        prober: has no pods yet.
        threads: two, for what goes on beside.
    """

    def __init__(
        self,
        cluster: Cluster,
        placement: Placement,
        directory: ManifestDirectory,
        fixed: Manifests,
        prober: Prober,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._cluster = cluster
        self._placement = placement
        self._directory = directory
        self._fixed = fixed
        self._prober = prober
        self._threads = threads
        self._present: dict[str, PodState] = {}
        self.judged = 0
        self.convergence_s: list[float] = []

    def run(self, cases: Iterable[Case], progress: Progress) -> Iterator[Wrong]:
        """The wrong cells of all cases."""
        for case in cases:
            wrong = [
                each
                for number, step in enumerate(case.steps, start=1)
                for each in self._step(case, number, step)
            ]
            progress(case, len(wrong))
            yield from wrong

    def _step(self, case: Case, number: int, step: Step) -> list[Wrong]:
        self._apply(step)
        expected = dict(step.judged())
        self.judged += len(expected)
        telling = self._threads.submit(self._told, step, tuple(expected))
        admitted = [cell for cell, sides in expected.items() if sides.admitted]
        outcomes = self._prober.probe(expected, admitted)
        told = telling.result()
        wrong = [
            Wrong(
                case=case.description,
                step=number,
                cell=cell,
                expected=sides,
                observed=outcomes[cell],
                told=told[cell],
            )
            for cell, sides in expected.items()
            if told[cell] != sides or not as_expected(sides, outcomes[cell])
        ]
        explained = [replace(each, explanation=self._explain(each)) for each in wrong[:EXPLAINED]]
        return [*explained, *wrong[EXPLAINED:]]

    def _apply(self, step: Step) -> None:
        """Bring the cluster to a step's state: only what differs is touched."""
        wanted = {pod.identity for pod in step.pods}
        gone = [title for title, pod in self._present.items() if pod.identity not in wanted]
        for title in gone:
            self._prober.remove(title)
            del self._present[title]
        self._cluster.detach(gone)
        manifests = {**self._fixed, **step_manifests(step, self._placement)}
        began = time.monotonic()
        revision = self._directory.apply(manifests)
        settling = self._threads.submit(self._cluster.enforced, revision)
        fresh = [pod for pod in step.pods if pod.title not in self._present]
        for title, namespace in self._cluster.attach(fresh).items():
            pod = next(each for each in fresh if each.title == title)
            self._prober.add(title, namespace, pod.address)
        self._present = {pod.title: pod for pod in step.pods}
        self.convergence_s.append(max(settling.result().values()) - began)

    def _told(self, step: Step, cells: Sequence[Cell]) -> Mapping[Cell, Sides]:
        """What the compiled forms say: a source's host of egress, a destination's of ingress."""
        pods = {pod.title: pod for pod in step.pods}
        sides: dict[str, dict[Cell, bool]] = {"egress": {}, "ingress": {}}
        for host in self._cluster.hosts:
            for direction, said in sides.items():
                own = [
                    cell
                    for cell in cells
                    if self._host(pods, cell.source if direction == "egress" else cell.destination)
                    == host
                ]
                flows = [
                    (
                        str(pods[cell.source].address),
                        str(pods[cell.destination].address),
                        cell.protocol.number,
                        cell.port,
                    )
                    for cell in own
                ]
                for cell, verdict in zip(own, self._cluster.judge(host, flows), strict=True):
                    said[cell] = verdict[direction] in ("open", "admitted")
        return {
            cell: Sides(ingress=sides["ingress"][cell], egress=sides["egress"][cell])
            for cell in cells
        }

    def _host(self, pods: Mapping[str, PodState], title: str) -> str:
        return self._placement.host(pods[title].address)

    def _explain(self, wrong: Wrong) -> tuple[str, ...]:
        cell = wrong.cell
        hosts = {self._host(self._present, title) for title in (cell.source, cell.destination)}
        return tuple(
            line
            for host in sorted(hosts)
            for line in self._cluster.explain(
                host, cell.source, cell.destination, cell.protocol.value, cell.port
            )
        )


def as_expected(sides: Sides, outcome: Outcome) -> bool:
    """Whether an attempt ended as it must: what is blocked must be silent, not refused."""
    return outcome is (Outcome.CONNECTED if sides.admitted else Outcome.TIMED_OUT)
