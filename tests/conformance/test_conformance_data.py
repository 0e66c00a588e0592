"""All of the conformance data, live: real agents, real plugin, real kernel. Takes about a minute.

A wrong cell is shown with what the agents of both hosts explain. ROMANA_CONFORMANCE_STRIDE=N takes
every Nth case only, for machines that are slow.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from romana.conformance.cases import OPEN, Sides, load
from romana.conformance.run import Setting, run
from romana.lab import leftovers
from romana.lab.probes import Outcome

DATA = Path(__file__).parent / "data" / "networkpolicy-v1.json.gz"
SETTING = Setting(prefix="rt-cf")
CELLS = 62565
LIMIT_S = 240


def quiet(case, wrong):
    """Progress that nobody looks at."""


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert not leftovers.find(SETTING.prefix)


def test_every_cell():
    stride = int(os.environ.get("ROMANA_CONFORMANCE_STRIDE", "1"))
    report = run(load(DATA)[::stride], SETTING, quiet)
    print(*report.lines(), sep="\n")
    assert not report.wrong
    assert report.seconds < LIMIT_S
    assert report.cells == CELLS or stride > 1


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
