"""Denied connections in the agent's log: switched while it runs, kept over its restart, on every
backend, and never at the cost of what is enforced."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import pytest

from romana.dataplane.nflog import LogListener

SERVERS = {"podSelector": {"matchLabels": {"role": "server"}}}
CLIENTS = {"from": [{"podSelector": {"matchLabels": {"role": "client"}}}], "ports": [{"port": 80}]}
LIMIT_S = 60


def reload(host, **settings):
    """Change the configuration of a running agent."""
    path = host.directory / "agent.yml"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    host.process.send_signal(signal.SIGHUP)


@pytest.fixture(params=["nftables", "iptables-nft", "iptables-legacy"])
def guarded(request, cluster, hosts, pods):
    """Only clients reach b1, on port 80; its host uses each of the backends."""
    host = hosts[0]
    reload(host, backend=request.param)
    host.seen = host.log.stat().st_size
    kind = request.param.removeprefix("iptables-")
    cluster.within(LIMIT_S, lambda: kind in host.ask("status")["backend"])
    cluster.policy("guard", {**SERVERS, "ingress": [CLIENTS]})
    cluster.within(LIMIT_S, lambda: not pods["b2"].reaches(pods["b1"]))
    yield host
    host.ask("log.denied", switch="default")
    reload(host, backend="nftables")
    cluster.within(LIMIT_S, lambda: host.ask("status")["backend"] == "nftables")
    reload(host, backend="auto")


def send(pod, to, port, count=1):
    with pod.inside.open(kind=socket.SOCK_DGRAM) as link:
        for _ in range(count):
            link.sendto(b"denied", (to.address, port))


def counted(host, pod):
    """How many packets to a pod have been denied."""
    (found,) = (each for each in host.ask("endpoints") if each["pod"] == pod.key)
    return found["denied_packets"]["ingress"]


def send_unlogged(cluster, host, pod, to, port):
    """Send one, and wait until it has been judged: what is logged from then on is none of it."""
    before = counted(host, to)
    send(pod, to, port)
    cluster.within(LIMIT_S, lambda: counted(host, to) > before)


def logged(host, port):
    """The lines about a port, of what the agent has logged in this test."""
    text = host.log.read_bytes()[host.seen :].decode()
    marked = (line.partition(" denied {") for line in text.splitlines())
    lines = [json.loads("{" + rest) for _, mark, rest in marked if mark]
    return [each for each in lines if each["port"] == port]


def line(cluster, host, port):
    """The line about a port, once it is there."""
    cluster.within(LIMIT_S, lambda: logged(host, port))
    return logged(host, port)[-1]


def sound(host, repairs):
    """Nothing was taken for somebody else's change, and the kernel is proven."""
    assert host.ask("status")["repairs"]["policy"] == repairs
    assert host.ask("verify")["equal"]


def test_denied_connections_are_logged_as_long_as_that_is_wanted(cluster, guarded, pods):
    repairs = guarded.ask("status")["repairs"]["policy"]
    assert not guarded.ask("log.denied")["on"]
    send_unlogged(cluster, guarded, pods["b2"], pods["b1"], 1001)
    state = guarded.ask("log.denied", switch="on")
    assert (state["on"], state["problem"]) == (True, "")
    number = guarded.ask("log.denied.follow")["number"]
    send(pods["b2"], pods["b1"], 1002, count=3)
    found = line(cluster, guarded, 1002)
    assert {key: found[key] for key in ("direction", "pod", "address", "peer", "peer_pod")} == {
        "direction": "ingress",
        "pod": "shop/b1",
        "address": pods["b1"].address,
        "peer": pods["b2"].address,
        "peer_pod": "shop/b2",
    }
    assert (found["protocol"], found["isolated_by"]) == ("UDP", ["NetworkPolicy shop/guard"])
    assert found["source_port"] > 0
    assert guarded.ask("log.denied.follow", after=number)["lines"] == [found]
    assert guarded.metrics()["romana_denied_lines_total"] >= 1
    assert pods["a2"].reaches(pods["b1"])
    assert not pods["b2"].reaches(pods["b1"])
    sound(guarded, repairs)
    assert not guarded.ask("log.denied", switch="off")["on"]
    send_unlogged(cluster, guarded, pods["b2"], pods["b1"], 1003)
    sound(guarded, repairs)
    guarded.ask("log.denied", switch="on", namespaces=["other"])
    send_unlogged(cluster, guarded, pods["b2"], pods["b1"], 1004)
    guarded.ask("log.denied", switch="on", namespaces=["other", "shop"])
    send(pods["b2"], pods["b1"], 1005)
    assert line(cluster, guarded, 1005)["pod"] == "shop/b1"
    assert [logged(guarded, port) for port in (1001, 1003, 1004)] == [[], [], []]
    assert len(logged(guarded, 1002)) == 1
    sound(guarded, repairs)


def counters(host, source, to, port):
    """What the kernel has counted on the way of a connection, by kind."""
    ends = {"from": source.key, "to": to.key}
    answer = host.ask("explain", **ends, port=port, protocol="UDP" if port > 1000 else "TCP")
    (side,) = answer["kernel"]["sides"]
    assert all(str(each["packets"]) in side["counted"] for each in side["counters"])
    assert side["counted"] in answer["lines"] or not side["counters"]
    return {each["kind"]: each["packets"] for each in side["counters"]}


def test_an_explanation_shows_what_was_counted_on_the_way(cluster, guarded, pods):
    source, to = pods["b2"], pods["b1"]
    before = counters(guarded, source, to, 1007)
    assert {"not admitted", "denied"} <= before.keys()
    send(source, to, 1007, count=4)
    more = before["denied"] + 4
    cluster.within(LIMIT_S, lambda: counters(guarded, source, to, 1007)["denied"] == more)
    after = counters(guarded, source, to, 1007)
    assert after["not admitted"] == before["not admitted"] + 4
    assert all(after[kind] > before[kind] for kind in before)
    admitted = counters(guarded, pods["a2"], to, 80)
    assert "denied" not in admitted
    cluster.within(LIMIT_S, lambda: pods["a2"].reaches(to))
    after = counters(guarded, pods["a2"], to, 80)
    assert "admitted" in after
    assert all(after[kind] > admitted[kind] for kind in after)


def test_the_switch_is_kept_over_a_restart(cluster, guarded, pods):
    repairs = guarded.ask("status")["repairs"]["policy"]
    guarded.ask("log.denied", switch="on", namespaces=["shop"])
    nftables = guarded.ask("status")["backend"] == "nftables"
    before = guarded.table() if nftables else ""
    backend = json.loads((guarded.directory / "agent.yml").read_text())["backend"]
    guarded.kill()
    guarded.start(backend=backend)
    state = guarded.ask("log.denied")
    assert (state["on"], state["namespaces"]) == (True, ["shop"])
    assert not nftables or guarded.table() == before
    send(pods["b2"], pods["b1"], 1006)
    assert line(cluster, guarded, 1006)["pod"] == "shop/b1"
    sound(guarded, 0)
    assert repairs >= 0
    guarded.ask("log.denied", switch="default")
    guarded.stop()
    guarded.start(backend=backend)
    assert not guarded.ask("log.denied")["on"]


def test_a_group_that_another_listens_to_is_left_alone_and_told(cluster, hosts, pods):
    host = hosts[0]
    with host.inside.inside(lambda: LogListener(83, 64)):
        reload(host, log_denied={"enabled": True, "group": 83})
        cluster.within(LIMIT_S, lambda: host.ask("status")["denied_log"]["on"])
        cluster.within(LIMIT_S, lambda: host.ask("status")["denied_log"]["problem"])
        problems = " ".join(host.ask("status")["problems"])
        assert "group 83 of netfilter's log: another process listens to it" in problems
        host.ask("enforced")
        assert "group 83" not in host.table()
    cluster.within(LIMIT_S, lambda: not host.ask("status")["denied_log"]["problem"])
    host.ask("enforced")
    assert "group 83" in host.table()
    done = subprocess.run(
        [sys.executable, "-m", "romana.cli", "log", "denied", "--socket", str(host.socket)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "denied connections: logged, of every namespace (by the configuration)\n"
    reload(host, log_denied={})
    cluster.within(LIMIT_S, lambda: not host.ask("status")["denied_log"]["on"])
