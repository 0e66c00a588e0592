"""Policies, labels and agents change and end; no packet is treated as no state in force says."""

import threading
import time

import pytest
from dataplanes import on

from romana.conformance.timeline import Fault
from romana.lab.datagrams import KEPT

KILLS = {"nftables": 100, "iptables-nft": 60}
BETWEEN = 10


@on("nftables", "iptables-nft", "iptables-nft, IPv6")
def test_changes_of_policy_let_nothing_slip_and_lose_nothing(stage):
    for _ in range(10):
        for _ in range(4):
            stage.change()
            stage.settle()
        for _ in range(4):
            stage.change()
        stage.settle()
    stage.sound()
    found = stage.judge()
    assert found.admitted > 1000
    assert found.denied > 1000


@on("nftables", "iptables-nft", "nftables, IPv6")
def test_a_pods_first_packet_is_judged_like_its_last(stage):
    """Pods come and go while policies change; each sends from the moment it has an interface, and
    is sent to. Addresses are used again at once."""
    early = 0
    with stage.churning():
        for _ in range(20):
            pod = stage.announce()
            before = time.time()
            with stage.visiting(pod):
                attached, since = time.time(), stage.datagrams.count
                stage.await_packets(4)
                sent = stage.datagrams.packets(stage.since)
                early += sum(
                    pod.title in (each.source, each.destination) and before <= each.sent < attached
                    for each in sent
                )
                assert any(each.source == pod.title for each in stage.datagrams.packets(since))
    stage.sound()
    stage.judge()
    print("before the runtime was answered:", early)
    assert early > 20


@pytest.mark.parametrize(("stage", "kills"), KILLS.items(), indirect=["stage"])
def test_an_agent_killed_at_any_instant_lets_nothing_slip_and_loses_nothing(stage, kills):
    """Both hosts' agents are killed, at random instants from their very start on, and every other
    time while they are at work. Meanwhile policies and labels change, and pods come and go."""
    hosts, ended = tuple(stage.cluster.hosts), []

    def kill(name, times):
        for turn in range(times):
            if turn % 2:
                stage.eventually(lambda: stage.told(name))
            time.sleep(stage.random.uniform(0, 0.3 if turn % 2 else 0.9))
            ended.append(stage.told(name) != "")
            stage.cluster.end(name)
            stage.cluster.revive(name, wait=False)

    for _ in range(kills // 2 // BETWEEN):
        began = time.time()
        with stage.churning(stage.visit):
            threads = [threading.Thread(target=kill, args=(each, BETWEEN)) for each in hosts]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        stage.await_agents()
        stage.sound()
        # What a state closes is cut by an agent that lives.
        stage.faults.append(Fault(since=began, until=time.time(), admits=True, port=KEPT))
    found = stage.judge(switches=kills)
    print("changes:", stage.changes, "kills of agents at work:", sum(ended), "of", len(ended))
    assert found.admitted > 1000
    assert found.denied > 1000
