"""Seconds of a run that has nothing to do, against servers that are far or near.

    .venv/bin/python benchmarks/installing.py
    .venv/bin/python benchmarks/installing.py --servers 5 50 --round-trip 0 20 --runs 5 --json

As root. `--first` gives the measured runs and the servers the processors before all else on this
machine, for one that is busy with other work. Servers are this machine's (see lab_servers.py),
reached by SSH through a way that takes its time (delay.py). `romana-install static` lays a whole
cluster down on them once, with stand-ins for Kubernetes' programs from a site of our own; then the
same command is timed, by the clock from its start to its end, with the processor time that it used
itself. All servers share this machine's processors: with many of them, the clock tells their work
more than the installer's.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.server
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from delay import delayed
from lab_servers import NETWORK, STANDINS, Server, servers
from rich.console import Console
from rich.table import Table

from installer.artifacts.catalogue import KUBERNETES_PROGRAMS
from installer.platforms.sandbox.content import APT_SOURCE

VERSION = "v1.33.9"
TOOL = Path(sys.executable).with_name("romana-install")
CLUSTER = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Runs with nothing to do: medians of seconds by the clock and of the operator's processor, and
    the most round trips of a host."""

    servers: int
    round_trip_ms: float
    runs: int
    seconds: float
    slowest_s: float
    processor_s: float
    round_trips: int
    load: float


@dataclass(frozen=True)
class Operator:
    """Who runs the installer: a home, and the way to the servers."""

    home: Path
    site: str
    key: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of commands; caches and state are this benchmark's."""
        return {
            **os.environ,
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
        }

    def write(self, there: Sequence[Server], ports: Sequence[int]) -> None:
        """The inventory."""
        hosts = {
            server.name: {
                "address": str(server.address),
                "ssh_address": "127.0.0.1",
                "port": port,
                "host_key": server.host_key,
            }
            for server, port in zip(there, ports, strict=True)
        }
        names = [server.name for server in there]
        cluster = {
            "name": CLUSTER,
            "kubernetes": VERSION,
            "download_url": self.site,
            "smoke": False,
            "package_repository": APT_SOURCE,
        }
        text = {
            "cluster": cluster,
            "backup": {"every": "never"},  # etcd is a stand-in, too
            "network": {
                "pods": "10.112.0.0/12",
                "services": "10.96.0.0/16",
                "hosts": str(NETWORK),
            },
            "vars": {"key": str(self.key)},
            "hosts": hosts,
            "groups": {"controller": names[:1], "nodes": names},
        }
        # JSON is YAML.
        (self.home / "hosts.yml").write_text(json.dumps(text, indent=1))

    def run(self) -> tuple[list[dict], float, float]:
        """The installer, once: its events, seconds, and processor seconds."""
        words = (str(TOOL), "static", "-i", str(self.home / "hosts.yml"), "--yes", "--json")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"the installer failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [json.loads(line) for line in done.stdout.splitlines()], seconds, used


@contextlib.contextmanager
def first(there: Sequence[Server], wanted: bool) -> Iterator[None]:
    """This thread, what it starts, and the servers before all else, for the time of a block."""
    pids = [0, *(pid for server in there for pid in _family(server.process.pid))] if wanted else []
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def measure(operator: Operator, there: Sequence[Server], round_trip_s: float, runs: int) -> Figure:
    """One way to the servers, several times."""
    with delayed([server.dial for server in there], round_trip_s) as ports:
        operator.write(there, ports)
        events, seconds, used = [], [], []
        for number in range(runs + 1):
            told, took, busy = operator.run()
            results = [event for event in told if event["event"] == "ResourceResult"]
            changed = [each for each in results if each["outcome"] != "ok"]
            if changed:
                raise SystemExit(f"a run changed something: {changed[:3]}")
            if number:  # the first warms up
                seconds.append(took)
                used.append(busy)
                events = told
    recap = next(event for event in events if event["event"] == "Recap")
    return Figure(
        servers=len(there),
        round_trip_ms=round_trip_s * 1000,
        runs=runs,
        seconds=median(seconds),
        slowest_s=max(seconds),
        processor_s=median(used),
        round_trips=max(host["round_trips"] for host in recap["hosts"]),
        load=os.getloadavg()[0],
    )


@contextlib.contextmanager
def site(directory: Path) -> Iterator[str]:
    """A download site with stand-ins by the names of Kubernetes' programs."""
    place = directory / f"release/{VERSION}/bin/linux/amd64"
    place.mkdir(parents=True)
    for name in KUBERNETES_PROGRAMS:
        content = (STANDINS / ("kubectl" if name == "kubectl" else "sleeper")).read_bytes()
        (place / name).write_bytes(content)
        (place / f"{name}.sha256").write_text(hashlib.sha256(content).hexdigest())
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


def figures(
    counts: Sequence[int], trips_ms: Sequence[float], runs: int, priority: bool
) -> Iterator[Figure]:
    """All figures, the servers of each count made once."""
    for count in counts:
        with (
            tempfile.TemporaryDirectory(prefix="rts-bench-", dir="/var/tmp") as directory,
            site(Path(directory, "site")) as url,
        ):
            home = Path(directory, "home")
            home.mkdir()
            operator = Operator(home, url, home / "id_ed25519")
            with servers("rts-bench", count, Path(directory, "servers"), operator.key) as there:
                with delayed([server.dial for server in there], 0.0) as ports:
                    operator.write(there, ports)
                    operator.run()
                for trip in trips_ms:
                    with first(there, priority):
                        figure = measure(operator, there, trip / 1000, runs)
                    yield figure


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--servers", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--round-trip", type=float, nargs="+", default=[0.0, 20.0], metavar="MS")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    table = Table("servers", "round trip", "seconds", "slowest", "processor", "trips", "load")
    for figure in figures(given.servers, given.round_trip, given.runs, given.first):
        if given.json:
            print(json.dumps(asdict(figure)), flush=True)
        table.add_row(
            str(figure.servers),
            f"{figure.round_trip_ms:g} ms",
            f"{figure.seconds:.2f}",
            f"{figure.slowest_s:.2f}",
            f"{figure.processor_s:.2f}",
            str(figure.round_trips),
            f"{figure.load:.1f}",
        )
    if not given.json:
        Console().print(table)


if __name__ == "__main__":
    main()
