"""Others change our rules under running traffic: what that lets pass or cuts ends with the repair,
and afterwards the kernel holds what it should.

What a damage explains is counted: forbidden packets that pass, or allowed ones that are lost, from
just before the damage until the comparison with the intent finds no difference any more.
Connections that have begun meanwhile, though no policy admits them, are cut right after. Nothing
else is excused.
"""

import re
import time

import pytest
from dataplanes import DATAPLANES, SETTINGS

from romana.conformance.timeline import Fault
from romana.lab.datagrams import KEPT

TRIED = {
    "nftables": None,
    "iptables-nft": None,
    "nftables, IPv6": ("the map of pods that receive", "the table"),
    "iptables-legacy": ("a chain's rules", "all sets"),
}
"""By setting, the damages; all of them where none are named."""
CASES = [
    (setting, what)
    for setting, some in TRIED.items()
    for what in some or DATAPLANES[SETTINGS[setting][0]].damages
]


@pytest.mark.parametrize(("stage", "what"), CASES, indirect=["stage"])
def test_damage_is_repaired_and_has_no_consequence(stage, what):
    damage = stage.dataplane.damages[what]
    stage.change()
    stage.settle()
    stage.await_cut()
    stage.judge()
    host = stage.cluster.hosts["host1"].namespace
    repairs = stage.cluster.ask("host1", "status")["repairs"]["policy"]
    since = time.time()
    damage.do(host, stage.family)
    if damage.silent:
        stage.cluster.configure("host1")  # the next look is on a timer
    stage.eventually(lambda: stage.repaired("host1", repairs))
    until = time.time()
    stage.faults.append(Fault(since=since, until=until, **damage.explains))
    stage.await_cut()  # of what began meanwhile
    stage.faults.append(Fault(since=until, until=time.time(), port=KEPT, **damage.explains))
    stage.await_packets(10)
    stage.sound()
    stage.judge(switches=2)  # by the damage, and by the repair
    print("seconds:", round(until - since, 3))
    if not damage.silent:
        told = stage.cluster.ask("host1", "status")["repairs"]
        assert re.search(r"changed by \S+, pid \d+", told["last"])
