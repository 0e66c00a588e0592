"""Calls and seconds of a plan, an apply, another run and a destroy on AWS, against moto's server.

    .venv/bin/python benchmarks/aws.py [NODES ...]

Without SSH: hosts are not there. What is measured is ours, boto3's and moto's time on this machine;
real calls take longer each, the number of them is the same.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from installer.cluster import Cluster
from installer.inventory import Request, load
from installer.platforms.aws import Aws, login

ROOT = Path(__file__).parents[1]
ROUNDS = 5
_spec = importlib.util.spec_from_file_location(
    "aws_cloud", ROOT / "tests/unit/installer/platforms/aws/cloud.py"
)
assert _spec
assert _spec.loader
_cloud = importlib.util.module_from_spec(_spec)
sys.modules["aws_cloud"] = _cloud
_spec.loader.exec_module(_cloud)


def main(nodes: list[int]) -> None:
    """Prints a table."""
    cloud = _cloud.Cloud()
    with _cloud.serving(cloud) as url:
        os.environ |= {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        }  # fmt: skip
        login.settle = lambda *_: None
        print(f"load {os.getloadavg()[0]:.1f}, median of {ROUNDS}")
        print("| hosts | what | calls | seconds |\n|---|---|---|---|")
        for count in nodes:
            rows: dict[str, list[tuple[int, float]]] = {}
            for _ in range(ROUNDS):
                measure(cloud, count, rows)
            for what, found in rows.items():
                seconds = statistics.median(each for _, each in found)
                calls = statistics.median(each for each, _ in found)
                print(f"| {count + 1} | {what} | {calls:.0f} | {seconds:.2f} |")


def measure(cloud: object, nodes: int, rows: dict[str, list[tuple[int, float]]]) -> None:
    """One cluster from nothing to nothing, each step as a command of its own does it."""
    cloud.reset()
    with tempfile.TemporaryDirectory() as directory:
        cluster = cluster_of(Path(directory), nodes)

        def timed(what: str, work: Callable[[Aws], object]) -> None:
            platform, began = Aws(), time.monotonic()
            work(platform)
            calls = sum(platform.api(cluster).calls.values())
            rows.setdefault(what, []).append((calls, time.monotonic() - began))

        def apply(platform: Aws) -> None:
            platform.plan(cluster)
            platform.provision(cluster, lambda event: None)

        timed("plan", lambda platform: platform.plan(cluster))
        timed("plan and apply", apply)
        timed("again", apply)
        timed("destroy", lambda platform: platform.destroy(cluster, lambda event: None))


def cluster_of(state: Path, nodes: int) -> Cluster:
    """The example's, with so many nodes."""
    settings = ("aws.ssh_from=[192.0.2.7/32]",)
    request = Request(platform="aws", clusters=state, nodes=nodes, settings=settings)
    return load(ROOT / "inventories/aws.yml", request).cluster


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [2, 49])
