"""Agents are told to use another backend, and hosts start anew, under traffic and while policies
change; what was in force is, all the time."""

from itertools import pairwise

from dataplanes import on

WAY = ("nftables", "iptables-nft", "nftables", "iptables-legacy", "iptables-nft")
WAY = (*WAY, "iptables-legacy", "nftables")
"""Each backend hands over to each other one."""


def test_a_switch_of_backends_opens_and_shuts_nothing(stage):
    with stage.churning(stage.visit):
        for _, backend in pairwise(WAY):
            stage.switch(backend)
    stage.sound()
    found = stage.judge(switches=2 * (len(WAY) - 1))
    assert found.admitted > 1000
    assert found.denied > 1000


@on("nftables", "iptables-nft")
def test_a_reboot_opens_nothing_and_shuts_nothing_elsewhere(stage):
    with stage.churning():
        for name in stage.cluster.hosts:
            stage.reboot(name)
    stage.sound()
    found = stage.judge(switches=2)
    assert found.explained > 100
    assert found.denied > 500
