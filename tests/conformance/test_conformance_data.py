"""All of the conformance data, live: real agents, real plugin, real kernel. Takes about a minute
on each backend, and a part of it again as IPv6.

A wrong cell is shown with what the agents of both hosts explain. ROMANA_CONFORMANCE_STRIDE=N takes
every Nth case only, for machines that are slow.
"""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address
from pathlib import Path

import pytest

from romana.conformance.cases import OPEN, Sides, load, parse
from romana.conformance.run import PREFIX, Setting, run
from romana.lab import leftovers
from romana.lab.probes import Outcome

DATA = Path(__file__).parent / "data" / "networkpolicy-v1.json.gz"
SETTING = Setting(prefix="rt-cf")
BACKENDS = ("nftables", "iptables-legacy", "iptables-nft")
CELLS = 62565
LIMIT_S = 240


def quiet(case, wrong):
    """Progress that nobody looks at."""


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert not leftovers.find(SETTING.prefix)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_cell(backend):
    stride = int(os.environ.get("ROMANA_CONFORMANCE_STRIDE", "1"))
    report = run(load(DATA)[::stride], replace(SETTING, backend=backend), quiet)
    print(*report.lines(), sep="\n")
    assert not report.wrong
    assert report.seconds < LIMIT_S
    assert report.cells == CELLS or stride > 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_in_ipv6_on_three_hosts(backend):
    """Addresses and blocks as IPv6, mapped one to one; every sixth case. What is denied is logged
    meanwhile: that makes no difference."""
    wire = json.loads(gzip.decompress(DATA.read_bytes()))
    cases = parse(json.dumps(as_ipv6(wire)).encode(), "as IPv6")[::6]
    setting = replace(SETTING, hosts=3, backend=backend, log_denied=True)
    report = run(cases, setting, quiet)
    print(*report.lines(), sep="\n")
    assert not report.wrong
    assert {pod.address.version for case in cases for pod in case.steps[0].pods} == {6}


def as_ipv6(value):
    """Any part of the data with its addresses and networks mapped below fd00:a8::/96."""
    if isinstance(value, list):
        return [as_ipv6(each) for each in value]
    if isinstance(value, dict):
        return {key: as_ipv6(each) for key, each in value.items()}
    if not isinstance(value, str) or not re.fullmatch(r"[0-9.]+(/[0-9]+)?", value):
        return value
    network = IPv4Network(value)
    base = IPv6Address(int(IPv6Address("fd00:a8::")) + int(network.network_address))
    return f"{base}/{96 + network.prefixlen}" if "/" in value else str(base)


def test_what_is_wrong_is_found_and_explained():
    """The same cases with data that is not true: these cells are wrong, and no others."""
    case = next(each for each in load(DATA) if each.description == "set namespace to x")
    (step,) = case.steps
    first, second = [cell for cell, expected in step.judged() if expected == OPEN][:2]
    opened = next(cell for cell in step.blocked if cell.source != cell.destination)
    untrue = {cell: each for cell, each in step.blocked.items() if cell != opened}
    untrue[first] = Sides(ingress=False, egress=True)
    untrue[second] = Sides(ingress=True, egress=False)
    report = run([replace(case, steps=(replace(step, blocked=untrue),))], SETTING, quiet)
    wrong = {each.cell: each for each in report.wrong}
    assert wrong.keys() == {opened, first, second}
    assert wrong[opened].observed is Outcome.TIMED_OUT
    assert wrong[opened].told == step.blocked[opened]
    assert wrong[first].observed is wrong[second].observed is Outcome.CONNECTED
    assert any("x/base" in line for line in wrong[opened].explanation)
    assert report.as_json()["wrong"][0]["case"] == case.description


def test_the_command():
    words = [sys.executable, "-m", "romana.cli", "conformance", str(DATA)]
    done = subprocess.run(
        [*words, "--only", "set namespace to x", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert {key: answer[key] for key in ("cases", "steps", "cells", "wrong")} == {
        "cases": 1,
        "steps": 1,
        "cells": 486,
        "wrong": [],
    }
    done = subprocess.run(
        [*words, "--only", "no such"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "romana conformance: none of the 115 cases has `no such` in it\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_ends_the_command_finds_nothing_left(number):
    words = [sys.executable, "-m", "romana.cli", "conformance", str(DATA)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        limit = time.monotonic() + 30
        while not any(name.endswith("-9") for name in leftovers.find(PREFIX).namespaces):
            assert time.monotonic() < limit
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert not out
    assert b"Traceback" not in err
    assert not leftovers.find(PREFIX)
