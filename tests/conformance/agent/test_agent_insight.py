"""What an agent proves about its kernel, and what it foresees of a change, with real pods."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

SERVERS = {"podSelector": {"matchLabels": {"role": "server"}}}
CLIENTS = {"from": [{"podSelector": {"matchLabels": {"role": "client"}}}], "ports": [{"port": 80}]}


def romana(host, *words, text=""):
    """The command, as on this host."""
    done = subprocess.run(
        [sys.executable, "-m", "romana.cli", *words, "--socket", str(host.socket)],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def guarded(cluster, hosts, pods):
    """Only clients reach b1, on port 80."""
    cluster.policy("guard", {**SERVERS, "ingress": [CLIENTS]})
    cluster.within(2, lambda: not pods["b2"].reaches(pods["b1"]))
    return hosts[0]


def test_a_kernel_that_enforces_the_policies_is_proven_to(guarded):
    code, out, err = romana(guarded, "verify")
    assert (code, err) == (0, "")
    assert "proven equal to the policies" in out
    answer = guarded.ask("verify")
    assert answer["equal"]
    assert answer["classes"] > 100
    assert answer["sampled"] > 0
    assert guarded.ask("status")["verified"]["equal"]
    metrics = guarded.metrics()
    assert metrics["romana_verified"] == 1
    assert metrics["romana_verify_differences"] == 0


def test_what_somebody_changed_is_told_with_the_traffic_that_it_concerned(cluster, guarded, pods):
    before = guarded.ask("status")["repairs"]["policy"]
    rules = f"ip daddr {pods['b1'].address} tcp dport 81 accept"
    guarded.inside.run("nft", "insert", "rule", "inet", "romana", "to-pod", *rules.split())
    cluster.within(5, lambda: guarded.ask("status")["repairs"]["policy"] > before)
    cluster.within(5, lambda: guarded.ask("status")["repairs"]["traffic"])
    told = guarded.ask("status")["repairs"]["traffic"]
    assert any(f"kernel admits TCP 0.0.0.0 -> {pods['b1'].address}:81" in each for each in told)
    assert guarded.metrics()['romana_drift_traffic_total{wrong="admits"}'] > 0
    assert guarded.ask("verify")["equal"]


def test_a_change_is_foreseen_with_the_connections_that_it_would_end(cluster, guarded, pods):
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "guard", "namespace": "shop"},
        "spec": {**SERVERS, "ingress": []},
    }
    with pods["a2"].inside.connect(pods["b1"].address, 80) as link:
        link.settimeout(2)
        link.recv(100)
        code, out, err = romana(guarded, "diff", "-f", "-", "--json", text=json.dumps(policy))
        assert (code, err) == (2, "")
        answer = json.loads(out)
        assert answer["opened"] == []
        assert {row["traffic"] for row in answer["cut"]} == {"TCP 80"}
        assert len(answer["connections"]) == 1
        assert f"-> {pods['b1'].address}:80" in answer["connections"][0]
        link.sendall(b"still here")
        assert link.recv(100) == b"still here"
    policy["spec"]["ingress"] = [CLIENTS]
    code, out, err = romana(guarded, "diff", "-f", "-", text=json.dumps(policy))
    assert (code, err) == (0, "")


def test_the_matrix_is_that_of_the_whole_cluster(guarded, pods):
    answer = guarded.ask("matrix")
    names = {pod for each in answer["groups"] for pod in each["pods"]}
    assert {pod.key for pod in pods.values()} <= names
    code, out, err = romana(guarded, "matrix")
    assert (code, err) == (0, "")
    assert "TCP 80" in out


def test_an_explanation_shows_the_kernels_elements(cluster, guarded, pods):
    answer = guarded.ask("explain", **{"from": "shop/a2", "to": "shop/b1", "port": 80})
    (side,) = answer["kernel"]["sides"]
    assert (side["direction"], side["passes"]) == ("ingress", True)
    assert f"{pods['a2'].address} . 6 . 80 in " in side["text"]
    assert answer["agrees"]
    answer = guarded.ask("explain", **{"from": "shop/b2", "to": "shop/b1", "port": 80})
    (side,) = answer["kernel"]["sides"]
    assert not side["passes"]
    assert len(side["elements"]) == 1  # it comes to its program, and finds nothing there
    assert "denied-ingress" in answer["kernel"]["dropped"]
    assert "isolated by NetworkPolicy shop/guard; no rule matched" in answer["lines"][1]
    code, out, err = romana(
        guarded, "explain", "--from", "shop/b2", "--to", f"shop/b1:{pods['b1'].address}"
    )
    assert (code, err) == (0, "")
    assert "the kernel drops it at rom" in out


def test_what_is_denied_is_counted_for_each_pod(cluster, guarded, pods):
    def counted(name):
        listed = {each["pod"]: each["denied_packets"] for each in guarded.ask("endpoints")}
        return listed[name]

    before = counted("shop/b1")
    with pods["b2"].inside.open(kind=socket.SOCK_DGRAM) as link:
        for _ in range(5):
            link.sendto(b"denied", (pods["b1"].address, 99))
    wanted = {**before, "ingress": before["ingress"] + 5}
    cluster.within(60, lambda: counted("shop/b1") == wanted)
    assert counted("shop/a1") == {"ingress": 0, "egress": 0}
    metrics = guarded.metrics()
    labels = 'romana_denied_packets_total{direction="ingress",namespace="shop",pod="%s"}'
    assert metrics[labels % "b1"] == wanted["ingress"]
    assert metrics[labels % "a1"] == 0
    code, out, err = romana(guarded, "endpoint", "list")
    assert (code, err) == (0, "")
    assert "DENIED IN" in out
