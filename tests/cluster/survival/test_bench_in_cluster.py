"""`romana bench policies --cluster`: the harness on a real cluster, not the time anything takes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from installer.artifacts.catalogue import cache_directory

BENCH = (sys.executable, "-m", "romana.cli", "bench", "policies", "--cluster")
LIMIT_S = 240
NAMES = "jsonpath={.items[*].metadata.name}"
WARM_TURNS, TURNS = 2, 6
"""Of the round that does not count, and at least so many in all: two numbers of policies each."""


@pytest.fixture
def command(installed, tmp_path):
    """The command, on the shared cluster."""
    own = shutil.which("kubectl") or str(next(cache_directory().glob("kubernetes/*/*/kubectl")))
    environment = {
        **os.environ,
        "PATH": f"{Path(own).parent}:{os.environ['PATH']}",
        "KUBECONFIG": f"{installed.state}/kubeconfig",
    }

    def begin(*words):
        return subprocess.Popen(
            (*BENCH, f"--out={tmp_path}", *words),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def ended(process):
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in err
    return process.returncode, out, err


def test_policies_come_and_go_in_turns_and_an_interrupt_leaves_nothing(
    command, installed, tmp_path
):
    process = command("--policies=0,5", "--sizes=1k", "--requests=100000", "--nodes=node2,node1")
    try:
        for line in process.stderr:
            if int((re.search(r"measuring in turns: (\d+) of", line) or ("", 0))[1]) > TURNS:
                break
        name = installed.kubectl("get", "namespaces", "-l", "romana.io/bench", "-o", NAMES)
        pods = json.loads(installed.kubectl("get", "pods", "-n", name.strip(), "-o", "json"))
        process.send_signal(signal.SIGINT)
    finally:
        code, out, err = ended(process)
    assert code == 130, err
    places = {each["metadata"]["name"]: each["spec"]["nodeName"] for each in pods["items"]}
    assert places == {"client": "node2", "server": "node1"}
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert not results["complete"]
    assert results["rounds"] >= (TURNS - WARM_TURNS) // 2
    assert results["where"].endswith(": client on node2, server on node1")
    (plane,) = results["planes"]
    assert plane in json.loads(installed.on("node1", "romana status --json"))["backend"]
    cells = {(each["plane"], each["policies"], each["size"]) for each in results["figures"]}
    assert cells == {(plane, count, size) for count in (0, 5) for size in (None, 1024)}
    assert all(0 < e["median"]["low"] <= e["median"]["value"] for e in results["figures"])
    assert "interrupted after" in out
    assert installed.kubectl("get", "namespaces", "-l", "romana.io/bench", "-o", "name") == ""


def test_another_run_is_noticed_and_a_node_that_is_none_is_told(command, installed):
    code, _, err = ended(command("--nodes=node1,node9"))
    assert code == 1
    assert err == (
        "romana bench: --nodes node9: there is no such node that is ready, only: "
        "controller, node1, node2\n"
    )
    installed.kubectl("create", "namespace", "other-bench")
    try:
        installed.kubectl("label", "namespace", "other-bench", "romana.io/bench=policies")
        code, _, err = ended(command())
    finally:
        installed.kubectl("delete", "namespace", "other-bench")
    assert code == 1
    assert err.splitlines()[-1].startswith("romana bench: the namespace other-bench is there")
