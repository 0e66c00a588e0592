"""Agents that are told to use another backend while they run, and what they prove and repair with
it."""

from __future__ import annotations

import json
import signal

import pytest

from romana.dataplane.xtables.reading import VANISHED
from romana.lab.command import LabError

SERVERS = {"podSelector": {"matchLabels": {"role": "server"}}}
CLIENTS = {"from": [{"podSelector": {"matchLabels": {"role": "client"}}}], "ports": [{"port": 80}]}


def reload(host, **settings):
    """Change the configuration of a running agent."""
    path = host.directory / "agent.yml"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    host.process.send_signal(signal.SIGHUP)


def left(host, kind):
    """What of ours iptables and ipset still hold."""
    try:
        rules = host.inside.run(f"iptables-{kind}-save").splitlines()
    except LabError as error:
        # A set went between the rule that looked it up and the question for its name.
        if VANISHED not in str(error):
            raise
        return [str(error)]
    return [each for each in rules if "ROMANA" in each] + host.inside.run(
        "ipset", "list", "-n"
    ).split()


@pytest.fixture(params=["legacy", "nft"])
def kind(request, cluster, hosts):
    """A kind of iptables, which all agents use until the end of the test."""
    name = f"iptables-{request.param}"
    for host in hosts:
        reload(host, backend=name)
        cluster.within(5, lambda host=host: request.param in host.ask("status")["backend"])
    yield request.param
    for host in hosts:
        reload(host, backend="nftables")
        cluster.within(5, lambda host=host: host.ask("status")["backend"] == "nftables")
        cluster.within(5, lambda host=host: not left(host, request.param))


def test_a_switch_at_run_time_keeps_policies_in_force(cluster, kind, hosts, pods):
    cluster.policy("guard", {**SERVERS, "ingress": [CLIENTS]})
    cluster.within(2, lambda: not pods["b2"].reaches(pods["b1"]))
    assert pods["a1"].reaches(pods["b1"])
    assert pods["a2"].reaches(pods["b1"])
    for host in hosts:
        cluster.within(
            5, lambda host=host: "romana" not in host.inside.run("nft", "list", "tables")
        )
        reload(host, backend="nftables")
        cluster.within(5, lambda host=host: host.ask("status")["backend"] == "nftables")
    assert not pods["b2"].reaches(pods["b1"])
    assert pods["a1"].reaches(pods["b1"])
    for host in hosts:
        reload(host, backend=f"iptables-{kind}")
        cluster.within(5, lambda host=host: kind in host.ask("status")["backend"])
    assert not pods["b2"].reaches(pods["b1"])
    assert pods["a1"].reaches(pods["b1"])


def test_what_is_in_force_is_proven(cluster, kind, hosts, pods):
    cluster.policy("guard", {**SERVERS, "ingress": [CLIENTS]})
    cluster.within(2, lambda: not pods["b2"].reaches(pods["b1"]))
    for host in hosts:
        answer = host.ask("verify")
        assert answer["equal"], answer
        assert answer["classes"] > 100


def test_a_rule_by_hand_is_taken_away_and_its_traffic_told(cluster, kind, hosts, pods):
    cluster.policy("guard", {**SERVERS, "ingress": [CLIENTS]})
    cluster.within(2, lambda: not pods["b2"].reaches(pods["b1"]))
    host, before = hosts[0], hosts[0].ask("status")["repairs"]["policy"]
    rule = f"-d {pods['b1'].address} -p tcp -j ACCEPT"
    host.inside.run(f"iptables-{kind}", "-w", "-t", "mangle", "-I", "ROMANA-TO-POD", *rule.split())
    if kind == "legacy":  # of which the kernel tells nothing: the next audit finds it
        reload(host)
    cluster.within(5, lambda: host.ask("status")["repairs"]["policy"] > before)
    cluster.within(5, lambda: host.ask("status")["repairs"]["traffic"])
    told = host.ask("status")["repairs"]["traffic"]
    assert any(f"kernel admits TCP 0.0.0.0 -> {pods['b1'].address}:" in each for each in told)
    assert not pods["b2"].reaches(pods["b1"])
    assert host.ask("verify")["equal"]
