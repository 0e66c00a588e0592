"""`romana bench` on this kernel: the harness, not the time that anything takes."""

import json
import re
import signal
import subprocess
import sys

import pytest

from romana.lab import leftovers
from romana.lab.namespaces import NETNS
from romana.lab.naming import belongs

PREFIX = "rt-bench"
BENCH = (sys.executable, "-m", "romana.cli", "bench")
LIMIT_S = 240


def run(command, *words):
    return subprocess.run(
        (*BENCH, command, "--prefix", PREFIX, *words),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_every_data_plane_is_proven_and_measured(tmp_path):
    done = run(
        "policies",
        "--policies=0,3",
        "--sizes=1k",
        "--requests=10",
        "--baselines=established,list,chains",
        f"--out={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_bytes())
    cells = {(each["plane"], each["policies"], each["size"]) for each in results["figures"]}
    counted = {(p, n) for p in ("list", "chains", "nftables", "iptables") for n in (0, 3)}
    assert cells == {
        (plane, count, size)
        for plane, count in counted | {("established", 0)}
        for size in (None, 1024)
    }
    assert results["complete"]
    assert {each["requests"] for each in results["figures"]} == {10}
    for each in results["figures"]:
        assert 0 < each["median"]["low"] <= each["median"]["value"] <= each["median"]["high"]
    slopes = {(each["plane"], each["size"]) for each in results["per_policy"]}
    assert len(slopes) == 8
    assert "connecting alone" in done.stdout
    page = (tmp_path / "report.html").read_text()
    assert (
        page.count("<svg") == page.count("<figure>") == 2
    )  # the seed has no figure for 3 policies
    for name in ("connect.png", "requests.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert not leftovers.find(PREFIX)


@pytest.mark.parametrize(
    ("command", "words", "reason"),
    [
        ("policies", ("--policies=0,x",), "--policies x"),
        ("policies", ("--sizes=1G",), "--sizes 1G"),
        ("policies", ("--backends=ebpf",), "--backends ebpf: choose from nftables"),
        ("policies", ("--out=/proc/x",), "--out /proc/x"),
        ("scale", ("--pods=3",), "--pods 3: must be from 100"),
        ("scale", ("--churn=-1",), "--churn -1"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_makes_no_lab(command, words, reason):
    done = run(command, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("romana bench: --")
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_interrupted_it_keeps_what_there_is_and_leaves_nothing(tmp_path):
    words = ("--policies=0", "--sizes=1k", "--requests=1000000", "--backends=nftables")
    words += ("--prefix", PREFIX)
    process = subprocess.Popen(
        (*BENCH, "policies", *words, "--baselines=none", f"--out={tmp_path}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:  # until some rounds are over
            if int((re.search(r"measuring in turns: (\d+) of", line) or ("", 0))[1]) > 3:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    results = json.loads((tmp_path / "results.json").read_bytes())
    assert not results["complete"]
    assert results["figures"]
    assert "interrupted after" in out
    assert not any(belongs(PREFIX, each.name) for each in NETNS.iterdir())


def test_a_cluster_is_served_to_the_agent_and_every_change_reaches_the_kernel(tmp_path):
    done = run(
        "scale",
        "--pods=300",
        "--policies=60",
        "--nodes=20",
        "--iterations=10",
        "--pods-per-node=3",
        "--repeat=1",
        "--churn=50",
        "--churn-duration=1",
        f"--out={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert "start to in force" in done.stdout
    small, whole = json.loads((tmp_path / "scale.json").read_bytes())["outcomes"]
    assert (small["shape"]["pods"], whole["shape"]["pods"]) == (30, 300)
    for each in (small, whole):
        # Of an overtaken one and the next, one or none is committed.
        assert 50 - 2 * each["churn_folded"] <= each["churn"]["count"] <= 50
        assert {name: times["count"] for name, times in each["changes"].items()} == {
            "pod added": 2,
            "pod's labels changed": 1,
            "pod removed": 1,
            "policy added": 1,
            "policy removed": 1,
        }
    assert whole["kernel"]["elements"] > small["kernel"]["elements"] > 0
    assert not leftovers.find(PREFIX)
