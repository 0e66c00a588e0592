"""Policies, labels and agents change and end; no packet is treated as no state in force says."""

import threading
import time

KILLS = 100
BETWEEN = 10


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


def test_an_agent_killed_at_any_instant_lets_nothing_slip_and_loses_nothing(stage):
    """Each host's agent is killed fifty times, at random instants from its very start on. Meanwhile
    policies and labels change, and pods come and go."""
    ready = {name: 0 for name in stage.cluster.hosts}

    def kill(name, times):
        for _ in range(times):
            limit = time.monotonic() + stage.random.uniform(0, 0.9)
            while time.monotonic() < limit:
                time.sleep(0.005)
            ready[name] += stage.acknowledged[name] >= 0
            stage.cluster.end(name)
            stage.cluster.revive(name, wait=False)

    for _ in range(KILLS // 2 // BETWEEN):
        with stage.churning(stage.visit):
            threads = [threading.Thread(target=kill, args=(each, BETWEEN)) for each in ready]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        stage.await_agents()
        stage.sound()
    found = stage.judge(switches=KILLS)
    print("changes:", stage.changes)
    assert found.admitted > 1000
    assert found.denied > 1000
