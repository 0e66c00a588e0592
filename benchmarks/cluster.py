"""Figures of an installed cluster: pod start, time from a policy's event to the kernels, memory.

    .venv/bin/python benchmarks/cluster.py -n sandbox
    .venv/bin/python benchmarks/cluster.py -n sandbox --json --pods 100 --policies 40

- CNI ADD: the real plugin is run on a node, as the container runtime would, for pods that the API
  knows and the kubelet cannot start (they wait for a secret). A policy isolates them all.
- A policy's way: each NetworkPolicy is created through the API; every node's kernel says when its
  table was committed. Times are from before the request, and from after the API's answer. Hosts
  of a sandbox share this machine's clock; elsewhere clocks have to be in step.
- Memory: resident size of every agent.
- Again: a run that has nothing to do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table

from installer import platforms
from installer.cluster import Cluster
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.commands.existing import kubeconfig
from installer.commands.preparing import connected
from installer.errors import HostError, InstallerError
from installer.events import Event
from installer.hosts.session import Session
from installer.images import BUSYBOX
from installer.kubernetes import Api, ApiError, read

SPACE = "romana-benchmark"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{SPACE}/networkpolicies"
QUIET_S = 0.2
"""Between two policies, so that none waits for the one before."""
LATE_S = 5.0

_PLUGIN = """
import json, os, subprocess, time
pods, times = {pods!r}, []
config = json.dumps({{"cniVersion": "0.4.0", "name": "romana", "type": "romana"}})
def call(command, pod):
    environment = {{
        "PATH": os.environ["PATH"], "CNI_COMMAND": command, "CNI_IFNAME": "eth0",
        "CNI_CONTAINERID": "benchmark-" + pod, "CNI_PATH": "/opt/cni/bin",
        "CNI_NETNS": "/run/netns/" + pod,
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE={space};K8S_POD_NAME=" + pod,
    }}
    began = time.perf_counter()
    done = subprocess.run(
        ["/opt/cni/bin/romana"], input=config, env=environment, capture_output=True, text=True
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(command + " of " + pod + ": " + done.stdout)
    return took
try:
    for pod in pods:
        subprocess.run(["ip", "netns", "add", pod], check=True)
        times.append(call("ADD", pod))
    print(json.dumps(times))
finally:
    for pod in pods:
        call("DEL", pod)
        subprocess.run(["ip", "netns", "del", pod])
"""
_COMMITS = """
import socket, time
link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
link.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
link.bind((0, 1 << 6))
link.settimeout({limit_s})
print("listening", flush=True)
until = time.time() + {limit_s}
while time.time() < until:
    if b"romana\\0" in link.recv(1 << 18):
        print(time.time(), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured distribution, in milliseconds."""

    name: str
    p50: float
    p99: float
    largest: float
    count: int


def figure(name: str, seconds: Sequence[float]) -> Figure:
    """A distribution from samples in seconds."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    ms = [round(each * 1000, 1) for each in (cuts[49], cuts[98], max(seconds))]
    return Figure(name=name, p50=ms[0], p99=ms[1], largest=ms[2], count=len(seconds))


class Commits:
    """When a host's kernel took a change of Romana's table."""

    def __init__(self, session: Session, limit_s: float) -> None:
        self.times: list[float] = []
        self._ready = threading.Event()
        self._session, self._limit_s = session, limit_s
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._ready.wait(10):
            raise InstallerError(f"{session.host} does not tell of its table", "has it python3?")

    def _listen(self) -> None:
        script = f"exec python3 -c '{_COMMITS.format(limit_s=self._limit_s)}' 2>/dev/null"
        # It listens until the session is closed, once all has been measured.
        with contextlib.suppress(HostError):
            self._session.run(script, timeout_s=self._limit_s + 30, on_line=self._take)

    def _take(self, line: str) -> None:
        self._ready.set()
        if line != "listening":
            self.times.append(float(line))

    async def after(self, moment: float) -> float:
        """The first commit after a moment."""
        deadline = time.time() + LATE_S
        while time.time() < deadline:
            found = [at for at in self.times if at > moment]
            if found:
                return found[0]
            await asyncio.sleep(0.005)
        raise InstallerError(f"no commit within {LATE_S} s", "is the agent running?")


def pod(name: str, node: str, *, starts: bool) -> dict[str, Any]:
    """A pod bound to a node; one that is not to start waits for a secret that never comes. A
    kubelet waits only for volumes that a container mounts."""
    secret = [{"name": "never", "secret": {"secretName": "never"}}]
    mount = [{"name": "never", "mountPath": "/never"}]
    return {
        "metadata": {"name": name, "labels": {"role": "waits" if not starts else "runs"}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "volumes": [] if starts else secret,
            "containers": [
                {
                    "name": "main",
                    "image": BUSYBOX,
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "2147483647"],
                    "volumeMounts": [] if starts else mount,
                }
            ],
        },
    }


def policy(name: str, port: int) -> dict[str, Any]:
    """A policy for every pod of the namespace."""
    peer = {"podSelector": {"matchLabels": {"role": "runs"}}}
    rule = {"from": [peer], "ports": [{"protocol": "TCP", "port": port}]}
    return {"metadata": {"name": name}, "spec": {"podSelector": {}, "ingress": [rule]}}


async def until(api: Api, names: Sequence[str]) -> None:
    """Wait until pods run."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = (await api.get(PODS))["items"]
        running = {p["metadata"]["name"] for p in found if p["status"]["phase"] == "Running"}
        if running >= set(names):
            return
        await asyncio.sleep(0.1)
    raise InstallerError("the benchmark's pods do not start", "romana-install test")


async def measure_adds(api: Api, session: Session, count: int) -> Figure:
    """Time of the plugin's ADD, its process included."""
    names = [f"benchmark-{number:03}" for number in range(count)]
    await asyncio.gather(
        *(api.create(PODS, pod(name, session.host, starts=False)) for name in names)
    )
    script = _PLUGIN.format(pods=names, space=SPACE)
    output = await asyncio.to_thread(
        session.run, f"exec python3 - <<'END'\n{script}\nEND\n", timeout_s=300
    )
    if output.status:
        raise InstallerError(f"the plugin failed: {output.last_lines(3)}")
    return figure(f"CNI ADD on {session.host}, process included", json.loads(output.stdout))


async def measure_policies(
    api: Api, sessions: Mapping[str, Session], count: int
) -> tuple[Figure, Figure]:
    """Time until the slowest of the nodes has a new policy in its kernel."""
    limit_s = count * (QUIET_S + 0.5) + 10
    with ThreadPoolExecutor() as pool:
        listeners = list(pool.map(lambda session: Commits(session, limit_s), sessions.values()))
    from_request, from_answer = [], []
    for number in range(count):
        before = time.time()
        await api.create(POLICIES, policy(f"benchmark-{number}", 1000 + number))
        answered = time.time()
        commits = [await listener.after(before) for listener in listeners]
        from_request.append(max(commits) - before)
        from_answer.append(max(0.0, max(commits) - answered))
        await asyncio.sleep(QUIET_S)
    hosts = f"{len(sessions)} nodes"
    return (
        figure(f"policy: request to kernel, slowest of {hosts}", from_request),
        figure(f"policy: API's answer to kernel, slowest of {hosts}", from_answer),
    )


def memory(session: Session) -> float:
    """Resident MiB of a host's agent."""
    script = (
        "pid=$(systemctl show -p MainPID --value romana-agent)\n"
        "awk '$1 == \"VmRSS:\" { print $2 }' /proc/$pid/status\n"
    )
    return round(int(session.run(script).stdout) / 1024, 1)


def again(cluster: Cluster) -> dict[str, Any]:
    """A run with nothing to do: its seconds, and round trips by host."""
    tool = Path(sys.executable).with_name("romana-install")
    command = (str(tool), "sandbox", "-n", cluster.name, "--yes", "--json")
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    took = time.monotonic() - began
    recap = json.loads(done.stdout.splitlines()[-1])
    return {
        "seconds": round(took, 2),
        "changed": sum(host["changed"] for host in recap["hosts"]),
        "round_trips": {host["host"]: host["round_trips"] for host in recap["hosts"]},
    }


async def measure(
    cluster: Cluster, sessions: Mapping[str, Session], pods: int, policies: int
) -> list[Figure]:
    """Everything that needs pods; its namespace is gone afterwards."""
    nodes = {host.name: sessions[host.name] for host in cluster.nodes}
    async with Api(read(cluster.kubeconfig)) as api:
        try:
            await api.create("/api/v1/namespaces", {"metadata": {"name": SPACE}})
        except ApiError as error:
            raise InstallerError(f"{error.message}: another benchmark?", "wait a moment") from error
        try:
            await asyncio.gather(*(api.create(PODS, pod(n, n, starts=True)) for n in nodes))
            await until(api, list(nodes))
            ways = await measure_policies(api, nodes, policies)
            return [await measure_adds(api, next(iter(nodes.values())), pods), *ways]
        finally:
            await api.delete(f"/api/v1/namespaces/{SPACE}")


def show(answer: Mapping[str, Any], figures: Sequence[Figure]) -> None:
    """The table."""
    table = Table("", "p50 ms", "p99 ms", "max ms", "count", box=None)
    for each in figures:
        table.add_row(each.name, str(each.p50), str(each.p99), str(each.largest), str(each.count))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for host, size in answer["agent_rss_mib"].items():
        console.print(f"agent's memory on {host}: {size} MiB")
    trips = answer["again"]["round_trips"]
    console.print(f"a run with nothing to do: {answer['again']['seconds']} s, round trips {trips}")


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description="Measures an installed cluster.")
    parser.add_argument("-n", "--name", default="", help="the cluster")
    parser.add_argument("--pods", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--policies", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    wish = Wish(name=options.name)
    cluster = platforms.of(found := clusters.known(wish)).attach(found)
    kubeconfig(wish)

    def tell(event: Event) -> None:
        print(event, file=sys.stderr)

    with connected(cluster, cluster.hosts, tell) as sessions:
        figures = asyncio.run(measure(cluster, sessions, options.pods, options.policies))
        sizes = {name: memory(session) for name, session in sessions.items()}
    answer = {
        "figures": [
            {"name": f.name, "p50_ms": f.p50, "p99_ms": f.p99, "max_ms": f.largest, "n": f.count}
            for f in figures
        ],
        "agent_rss_mib": sizes,
        "again": again(cluster),
    }
    if options.json:
        print(json.dumps(answer, indent=2))
    else:
        show(answer, figures)


if __name__ == "__main__":
    try:
        main()
    except InstallerError as error:
        sys.exit(f"error: {error.message}" + (f" ({error.advice})" if error.advice else ""))
