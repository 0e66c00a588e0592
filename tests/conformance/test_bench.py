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
WORDS = (sys.executable, "-m", "romana.cli", "bench", "policies", "--prefix", PREFIX)
LIMIT_S = 240


def run(*words):
    return subprocess.run(
        (*WORDS, *words), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_every_data_plane_is_proven_and_measured(tmp_path):
    done = run(
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
    ("words", "reason"),
    [
        (("--policies=0,x",), "--policies x"),
        (("--sizes=1G",), "--sizes 1G"),
        (("--backends=ebpf",), "--backends ebpf: choose from nftables"),
        (("--out=/proc/x",), "--out /proc/x"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_makes_no_lab(words, reason):
    done = run(*words)
    assert done.returncode == 1
    assert done.stderr.startswith("romana bench: --")
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_interrupted_it_keeps_what_there_is_and_leaves_nothing(tmp_path):
    words = ("--policies=0", "--sizes=1k", "--requests=1000000", "--backends=nftables")
    process = subprocess.Popen(
        (*WORDS, *words, "--baselines=none", f"--out={tmp_path}"),
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
