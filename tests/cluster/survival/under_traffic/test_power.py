"""A host loses power: what policies forbid does not pass while it goes down, boots and starts its
pods again."""

import time
from ipaddress import ip_network

from installer.platforms.sandbox.platform import Sandbox

AFTERWARDS_S = 5
"""For how long a fault's end is watched."""


def test_policies_are_in_force_before_pods_talk_on_a_host_that_lost_power(
    stage, silence, eventually
):
    cluster = stage.cluster
    block = [str(address) for address in ip_network(stage.block)]
    mute, insider = stage.said("mute"), stage.said("insider")
    boots = "journalctl --list-boots | wc -l"
    before = int(cluster.on("node2", boots))
    known = cluster.cluster
    with (
        stage.stream("stranger", stage.service, *block[:40], every_s=0.1) as stranger,
        stage.stream("friend", stage.service, every_s=0.1) as friend,
    ):
        time.sleep(1)
        down = time.monotonic()
        Sandbox().reboot(known, "node2", orderly=False)
        up = time.monotonic()
        eventually(60, lambda: any(at > up for at in friend.passed), "the server serves again")
        eventually(30, lambda: len(stage.running) == 6, "pods run")
        time.sleep(AFTERWARDS_S)
    assert int(cluster.on("node2", boots)) == before + 1
    assert any(at < down for at in friend.passed)
    assert stranger.passed == []
    assert stage.said("mute") - mute == set()
    assert stage.said("insider") - insider == set()
    stage.addresses |= stage.running
    cluster.kubectl("delete", "networkpolicy", "silence", "-n", "survival")
    eventually(5, lambda: stage.said("mute") - mute, "mute has tried all the time")
    stage.put(silence)
    tested = cluster.run("test", "--json")
    assert tested.code == 0, tested.err
    assert cluster.run("status").code == 0
