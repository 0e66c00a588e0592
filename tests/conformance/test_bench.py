"""`romana bench` on this kernel: the harness, not the time that anything takes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import reports
from chromium import browser, program

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


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """A run that has ended, and its directory."""
    out = tmp_path_factory.mktemp("short")
    done = run(
        "policies",
        "--policies=0,3",
        "--sizes=1k",
        "--requests=10",
        "--seconds=1",
        "--baselines=established,list,chains",
        f"--out={out}",
    )
    return done, out


def test_every_data_plane_is_proven_and_measured(short_run):
    done, tmp_path = short_run
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
    requests = {(each["plane"], each["requests"]) for each in results["figures"]}
    assert {count for plane, count in requests if plane in ("list", "chains")} == {10}
    assert {count % 10 for _, count in requests} == {0}  # some had more turns
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


@pytest.mark.skipif(program() is None, reason="no Chromium is installed (make packages)")
def test_its_report_is_whole_in_a_browser(short_run):
    done, out = short_run
    assert done.returncode == 0, done.stderr
    with browser() as page:
        assert reports.check(page, out / "report.html", 2, out) in (3, 4)


@pytest.mark.parametrize(
    ("command", "words", "reason"),
    [
        ("policies", ("--policies=0,x",), "--policies x"),
        ("policies", ("--sizes=1G",), "--sizes 1G"),
        ("policies", ("--backends=ebpf",), "--backends ebpf: choose from nftables"),
        ("policies", ("--policies=0,70000",), "--policies 70000: at most"),
        ("policies", ("--policies=0,0",), "--policies 0,0: the same is there twice"),
        ("policies", ("--sizes=0.3",), "--sizes 0.3: must be whole bytes"),
        ("policies", ("--baselines=no",), "--baselines no: choose from"),
        ("policies", ("--cluster", "--backends=nftables"), "--backends: not with --cluster"),
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


@pytest.fixture
def without(tmp_path):
    """The programs of this machine without one, as a PATH."""

    def directory(missing):
        here = tmp_path / "programs"
        here.mkdir()
        for place in os.environ["PATH"].split(os.pathsep):
            for each in Path(place).glob("*"):
                link = here / each.name
                if each.name != missing and not link.is_symlink():
                    link.symlink_to(each)
        return str(here)

    return directory


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("nft", "nft cannot be found: install nftables and iproute2"),
        ("ipset", "--backends iptables: iptables or ipset is not installed: install both packages"),
    ],
)
def test_what_this_machine_lacks_is_told_before_anything_is_made(
    without, missing, reason, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", without(missing))
    done = run("policies", "--policies=0", "--sizes=1k", f"--out={tmp_path / 'out'}")
    assert done.returncode == 1
    assert done.stderr == f"romana bench: {reason}\n"
    assert not leftovers.find(PREFIX)


def test_a_kernel_that_refuses_is_told_in_its_own_words(without, monkeypatch, tmp_path):
    path = Path(without("nft"))
    (path / "nft").write_text("#!/bin/sh\necho 'Error: Operation not supported' >&2\nexit 1\n")
    (path / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", str(path))
    done = run("policies", "--policies=0", "--sizes=1k", f"--out={tmp_path / 'out'}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("romana bench: this kernel has no support for what is measured: ")
    assert "Operation not supported" in line


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
