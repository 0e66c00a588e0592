"""The bench on a cluster, as far as it goes without one."""

import socket

import pytest
from click.testing import CliRunner

from romana.bench.cluster.experiment import ClusterExperiment
from romana.bench.cluster.objects import chosen_nodes, network_policy, pods, trouble
from romana.bench.errors import BenchError
from romana.bench.schedule import WARM_ROUNDS
from romana.bench.traffic.processes import traffic
from romana.bench.traffic.wire import Block
from romana.bench.workload import allowed
from romana.cli import main
from romana.sources.kinds import POLICY


def node(name, *, ready="True", taint=None, cordoned=False):
    taints = [{"key": "a", "effect": taint}] if taint else None
    return {
        "metadata": {"name": name},
        "spec": {"taints": taints, "unschedulable": cordoned},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


NODES = (
    node("a", taint="NoSchedule"),
    node("e"),
    node("b", ready="Unknown"),
    node("c", cordoned=True),
    node("d", taint="PreferNoSchedule"),
)


def test_nodes_that_pods_would_be_put_on_come_first():
    assert chosen_nodes(NODES, ()) == ("d", "e")
    assert chosen_nodes(NODES[:2], ()) == ("e", "a")
    assert chosen_nodes(NODES, ("e", "a")) == ("e", "a")


@pytest.mark.parametrize(
    ("found", "wanted", "reason"),
    [
        (NODES[:1], (), "has 1 nodes that are ready: two are needed"),
        (NODES, ("a", "b"), "--nodes b: there is no such node that is ready, only: a, c, d, e"),
        ((), ("x", "y"), "only: none"),
    ],
)
def test_nodes_that_are_not_there_are_told(found, wanted, reason):
    with pytest.raises(BenchError, match=reason):
        chosen_nodes(found, wanted)


def test_a_policy_admits_what_it_is_named_after():
    for what in allowed(3):
        manifest = network_policy(what, "here")
        policy = POLICY.read(manifest)
        assert policy.key == ("here", f"tcp-{what.port}")


def test_pods_keep_out_of_the_hosts_network():
    client, server = pods(("n1", "n2"), "image")
    assert [each["spec"]["nodeName"] for each in (client, server)] == ["n1", "n2"]
    assert "hostNetwork" not in server["spec"]
    assert server["metadata"]["labels"] != client["metadata"]["labels"]


def test_why_a_pod_does_not_run_is_in_the_clusters_words():
    waiting = {"reason": "ErrImageNeverPull", "message": "no such image"}
    status = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    assert trouble({"status": status}) == "ErrImageNeverPull: no such image"
    assert trouble({"status": {"phase": "Pending"}}) == "Pending"


def test_every_number_of_policies_has_its_turn_in_every_round(tmp_path):
    wanted = ClusterExperiment(
        kubeconfig=tmp_path, policies=(0, 10, 200), sizes=(512, 1024), requests=1000
    )
    turns = list(wanted.turns())
    assert len(turns) == 3 * wanted.rounds == 3 * (10 + WARM_ROUNDS)
    for number in range(wanted.rounds):
        mine = turns[3 * number : 3 * number + 3]
        assert {turn for turn, _, _ in mine} == {number}
        assert sorted(index for _, index, _ in mine) == [0, 1, 2]
        assert all(sorted(s or 0 for s in sizes) == [0, 512, 1024] for _, _, sizes in mine)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--cluster", "--baselines=none"), "--baselines: not with --cluster"),
        (("--nodes=a,b",), "--nodes: only with --cluster"),
        (("--cluster", "--nodes=a,a"), "--nodes a,a: write two"),
        (("--cluster", "--nodes=a"), "--nodes a: write two"),
        (("--cluster", "--policies=0,20000"), "--policies 20000: at most 10,000 with --cluster"),
        (("--cluster", "--kubeconfig=/nowhere/config"), "/nowhere/config: cannot be read"),
        (("--cluster", "--sizes=0"), "--sizes 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(words, reason, tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    bare = "--cluster" not in words or any("kubeconfig" in each for each in words)
    config = () if bare else (f"--kubeconfig={tmp_path}/config",)
    done = CliRunner().invoke(
        main, ["bench", "policies", f"--out={tmp_path / 'out'}", *words, *config]
    )
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("romana bench: ")
    assert reason in line


def test_without_kubectl_it_is_said_what_it_is_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = [
        "bench",
        "policies",
        "--cluster",
        f"--kubeconfig={tmp_path}/config",
        f"--out={tmp_path}",
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert done.stderr == (
        "romana bench: kubectl is not on the PATH: with --cluster, client and server are run "
        "through it\n"
    )


@pytest.fixture
def listening():
    with socket.create_server(("0.0.0.0", 0)) as there:  # noqa: S104 - as the bench's server does
        yield there.getsockname()[1]


def test_a_port_in_use_is_told_by_its_number(listening):
    reason = f"the server cannot listen on port {listening}: Address already in use"
    with pytest.raises(BenchError, match=reason), traffic((), (listening,), (512,)):
        pytest.fail("it listens")


@pytest.fixture
def free():
    with socket.create_server(("0.0.0.0", 0)) as there:  # noqa: S104 - only to find a free one
        return there.getsockname()[1]


def block(port, **fields):
    made = {"size": 512, "warm": 1, "count": 3, **fields}
    return Block(namespace="", address="127.0.0.1", port=port, **made)


def test_client_and_server_can_be_where_they_are_already(free):
    with traffic((), (free,), (512,)) as running:
        measured = running.run(block(free))
        assert len(measured.nanoseconds) == 3
        assert all(each > 0 for each in measured.nanoseconds)
        assert len(running.run(block(free, size=None)).nanoseconds) == 3
        assert running.answers(block(free, size=None))
        with pytest.raises(BenchError, match=r"a request to 127\.0\.0\.1 failed: .*refused"):
            running.answers(block(1, size=None))
