"""Clusters by chance, live: what the reference says of them is what the agents have compiled and
what the kernel does."""

import json
import subprocess
import sys

import pytest

from romana.conformance.run import Setting, run
from romana.conformance.worlds import Shape, random_case
from romana.lab import leftovers

PREFIX = "rt-cf-random"
STEPS = 10


@pytest.mark.parametrize(
    ("seed", "shape", "backend"),
    [
        (1, Shape(), "nftables"),
        (2, Shape(family=6), "nftables"),
        (3, Shape(hosts=3, pods=9, policies=12, changes=6), "nftables"),
        (4, Shape(), "iptables"),
    ],
    ids=["IPv4", "IPv6", "three hosts", "iptables"],
)
def test_the_kernel_does_what_the_reference_says(seed, shape, backend):
    case = random_case(seed, STEPS, shape)
    setting = Setting(prefix=PREFIX, hosts=shape.hosts, backend=backend)
    report = run((case,), setting, lambda *_: None)
    again = f"romana conformance --random --seed {seed} --steps {STEPS}"
    assert not report.wrong, "\n".join([again, *report.lines()])
    assert report.judged > 1000
    assert sum(len(step.blocked) for step in case.steps) > report.judged / 20
    assert not leftovers.find(PREFIX)


def test_the_command():
    words = [sys.executable, "-m", "romana.cli", "conformance", "--random"]
    done = subprocess.run(
        [*words, "--seed", "11", "--steps", "2", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["wrong"], answer["steps"]) == (0, [], 2), done.stderr
