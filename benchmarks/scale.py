"""What a change costs in a large cluster, from the event in the agent's store to kernel's commit.

    .venv/bin/python benchmarks/scale.py --pods 10000 --policies 5000 --pods-per-node 100

Feeds the agent's own parts (store, reconciler, compiler, renderer, backend) with a made-up cluster,
in a network namespace of its own, `rt-scale-` and its process id. Needs root. `cpu` is the time
that the agent and its children ran, which a busy machine does not blur; run as `chrt -r 1 ...`, the
rest is not blurred either.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[1]))

from romana.agent.config import Config  # noqa: E402
from romana.agent.kernel import Kernel  # noqa: E402
from romana.agent.metrics import Metrics  # noqa: E402
from romana.agent.reconciler import REST_S, Reconciler  # noqa: E402
from romana.agent.store import Store  # noqa: E402
from romana.bench.scale.synthetic import Cluster, Shape  # noqa: E402
from romana.dataplane.backends import BackendName  # noqa: E402
from romana.ipam.leases import Attachment, Lease, Leases  # noqa: E402
from romana.lab.joining import join  # noqa: E402
from romana.objects import Object  # noqa: E402
from romana.sources.kinds import KINDS, Kind  # noqa: E402

PAGE_BYTES = resource.getpagesize()
MIB = 2**20
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
PREFIX = "rt-scale-{}"
COLUMNS = ("p50", "p99", "max", "cpu")
BY_FIELD: dict[str, Kind] = {kind.field: kind for kind in KINDS}


def resident_mib() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / MIB


def kernel_mib() -> float:
    """Memory that the kernel holds for this process and its children; 0 without a group for it."""
    group = MEMORY_GROUPS / PREFIX.format(os.getpid())
    usage = group / "memory.kmem.usage_in_bytes"
    return int(usage.read_text()) / MIB if usage.exists() else 0.0


def sets_mib() -> float:
    """Memory of ipset's sets, which the kernel counts for nobody."""
    if shutil.which("ipset") is None:
        return 0.0
    command = ("ipset", "list", "-terse")
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(int(each) for each in re.findall(r"^Size in memory: (\d+)$", said, re.M)) / MIB


@contextmanager
def own_memory_group() -> Iterator[None]:
    """Have the kernel count for itself what it holds for this process."""
    group = MEMORY_GROUPS / PREFIX.format(os.getpid())
    if not (MEMORY_GROUPS / "memory.kmem.usage_in_bytes").exists():
        yield
        return
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (MEMORY_GROUPS / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


def processor_s() -> float:
    """Processor time of this process and of its children that have ended."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


@contextmanager
def own_network() -> Iterator[None]:
    """Move this process into a network namespace made for it."""
    name = PREFIX.format(os.getpid())
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        join(Path("/run/netns", name))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


class Bench:
    """The agent's parts, and what is measured of them."""

    def __init__(self, cluster: Cluster, backend: BackendName, operator: bool) -> None:
        self.cluster = cluster
        self.operator = operator
        self.store = Store()
        self.leases = Leases(":memory:")
        config = Config(node="node-0", metrics="off", backend=backend)
        metrics = Metrics()
        self.kernel = Kernel(config, metrics)
        self.reconciler = Reconciler(
            store=self.store, leases=self.leases, kernel=self.kernel, metrics=metrics
        )
        self._revision = 0
        self.results: dict[str, Any] = {}

    async def run(self, repeat: int, rate: int, profile: bool) -> dict[str, Any]:
        """Everything, in turn."""
        worker = asyncio.create_task(self.reconciler.run())
        await self._start()
        with profiling(profile):
            await self._changes(repeat)
        if rate:
            await self._churn(rate)
        self.results["resident_mib"] = round(resident_mib(), 1)
        worker.cancel()
        return self.results

    async def _start(self) -> None:
        for number in range(self.cluster.shape.pods_per_node):
            self._attach(number)
        before = kernel_mib()
        objects: dict[str, list[Any]] = {
            "namespaces": self.cluster.namespaces(),
            "nodes": self.cluster.nodes(),
            "blocks": self.cluster.blocks(),
            self._policies: self._all_policies(),
            "pods": self.cluster.pods(),
        }
        gc.collect()
        self.results["objects_mib"] = round(resident_mib(), 1)
        began = time.perf_counter()
        for kind in KINDS:
            self.store.replace(kind, objects.get(kind.field, []), [])
        objects.clear()
        await self._in_force()
        self.results["start_ms"] = round(1000 * (time.perf_counter() - began), 1)
        gc.collect()
        gc.freeze()
        programs = self.reconciler.admission.programs
        self.results["programs"] = len(programs)
        self.results["grants"] = sum(len(each.grants) for each in programs.values())
        self.results["kernel_mib"] = round(kernel_mib() - before, 1)
        self.results["sets_mib"] = round(sets_mib(), 1)
        self.results["resident_start_mib"] = round(resident_mib(), 1)

    @property
    def _policies(self) -> str:
        return "operator_policies" if self.operator else "policies"

    def _all_policies(self) -> Sequence[Object]:
        made = self.cluster
        return made.operator_policies() if self.operator else made.policies()

    def _policy(self, number: int, app: int) -> Object:
        made = self.cluster
        return made.operator_policy(number, app) if self.operator else made.policy(number, app)

    def _attach(self, number: int) -> None:
        pod = self.cluster.pod(number)
        lease = Lease(
            attachment=Attachment(container=f"c{number}", ifname="eth0"),
            pod=pod.key,
            uid="",
            netns="",
            interface=f"rom{number:012x}",
            boot="",
            addresses=pod.addresses,
        )
        self.leases.allocate(lease, Config().pods.layout().cidrs, (4,))

    async def _in_force(self) -> None:
        self._revision += 1
        self.store.mark(str(self._revision))
        await self.reconciler.reached(str(self._revision))

    async def _timed(self, act: Callable[[], None]) -> tuple[float, float]:
        """Milliseconds that pass, and that are worked, after quiet."""
        await asyncio.sleep(2 * REST_S)
        began, worked = time.perf_counter(), processor_s()
        act()
        await self._in_force()
        return 1000 * (time.perf_counter() - began), 1000 * (processor_s() - worked)

    def _put(self, field: str, obj: Object) -> Callable[[], None]:
        return lambda: self.store.put(BY_FIELD[field], obj)

    def _remove(self, field: str, obj: Object) -> Callable[[], None]:
        return lambda: self.store.remove(BY_FIELD[field], obj.key)

    async def _changes(self, repeat: int) -> None:
        times: dict[str, list[tuple[float, float]]] = {}

        async def measure(name: str, act: Callable[[], None]) -> None:
            times.setdefault(name, []).append(await self._timed(act))

        shape = self.cluster.shape
        for turn in range(repeat):
            new = self.cluster.pod(shape.pods + turn, app=turn)
            await measure("pod added", self._put("pods", new))
            await measure("pod removed", self._remove("pods", new))
            number = shape.pods_per_node + turn * 7
            await measure(
                "pod's label changed", self._put("pods", self.cluster.pod(number, app=turn + 1))
            )
            local = turn % shape.pods_per_node
            # In a namespace that has local pods, selecting one of them.
            policy = self._policy(shape.policies + local, self.cluster.app(local))
            await measure("policy added", self._put(self._policies, policy))
            await measure("policy removed", self._remove(self._policies, policy))
            await measure(
                "local pod's label changed",
                self._put("pods", self.cluster.pod(local, app=turn + 1)),
            )
        self.results["changes_ms"] = {
            name: {
                **summary([passed for passed, _ in each]),
                "cpu": summary([worked for _, worked in each])["p50"],
            }
            for name, each in times.items()
        }

    async def _churn(self, rate: int, seconds: float = 5.0) -> None:
        """Pods that come and go at a rate; how long each waits for the kernel."""
        loop = asyncio.get_running_loop()
        waits: list[float] = []
        pending: deque[tuple[int, float]] = deque()
        start, sent, base = loop.time(), 0, self.cluster.shape.pods + 10_000
        cpu, rounds = processor_s(), self.reconciler.rounds

        async def watch() -> None:
            while True:
                while pending and pending[0][0] <= int(self.reconciler.revision):
                    waits.append(1000 * (loop.time() - pending.popleft()[1]))
                await asyncio.sleep(0.001)

        watcher = asyncio.create_task(watch())
        while loop.time() - start < seconds:
            while sent < rate * (loop.time() - start):
                pod = self.cluster.pod(base + sent % 2000)
                act = self._put if sent // 2000 % 2 == 0 else self._remove
                act("pods", pod)()
                self._revision += 1
                self.store.mark(str(self._revision))
                pending.append((self._revision, loop.time()))
                sent += 1
            await asyncio.sleep(0.001)
        worked = processor_s() - cpu
        while pending:
            await asyncio.sleep(0.001)
        watcher.cancel()
        self.results["churn"] = {
            "events_per_s": rate,
            "delay_ms": summary(waits),
            "rounds": self.reconciler.rounds - rounds,
            "cpu_share": round(worked / seconds, 2),
        }


@contextmanager
def profiling(wanted: bool) -> Iterator[None]:
    """Print where the time of the main thread goes."""
    if not wanted:
        yield
        return
    profile = cProfile.Profile()
    with profile:
        yield
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


def summary(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst."""
    ordered = sorted(values)
    at = {"p50": len(ordered) // 2, "p99": min(len(ordered) - 1, len(ordered) * 99 // 100)}
    return {
        **{name: round(ordered[each], 2) for name, each in at.items()},
        "max": round(ordered[-1], 2),
    }


def show(results: dict[str, Any]) -> None:
    """As a table."""
    for name, value in results.items():
        if name == "changes_ms":
            print(f"{'change, ms':<28}" + "".join(f"{each:>8}" for each in COLUMNS))
            for change, each in value.items():
                print(f"{change:<28}" + "".join(f"{each[column]:>8}" for column in COLUMNS))
        else:
            print(f"{name:<28}{value}")


def main() -> None:
    """Parse, run, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in Shape.defaults().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--repeat", type=int, default=50, help="how often each change is made")
    parser.add_argument("--rate", type=int, default=500, help="pod events per second; 0 for none")
    parser.add_argument("--backend", choices=get_args(BackendName), default="nftables")
    parser.add_argument(
        "--operator", action="store_true", help="RomanaPolicies, not NetworkPolicies"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="of the changes")
    words = vars(parser.parse_args())
    options = ("repeat", "rate", "backend", "operator", "json", "profile")
    extra = {name: words.pop(name) for name in options}
    with own_memory_group(), own_network():
        bench = Bench(Cluster(Shape(**words)), extra["backend"], extra["operator"])
        results = asyncio.run(bench.run(extra["repeat"], extra["rate"], extra["profile"]))
    results = {"shape": words, "backend": extra["backend"], **results}
    print(json.dumps(results, indent=1)) if extra["json"] else show(results)


if __name__ == "__main__":
    main()
