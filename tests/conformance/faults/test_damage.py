"""Others change our table under running traffic: what that lets pass or cuts ends with the repair,
and afterwards the kernel holds what it should.

What a damage explains is counted: forbidden packets that pass, or allowed ones that are lost, from
just before the damage until the comparison with the intent finds no difference any more.
Connections that have begun meanwhile, though no policy admits them, are cut right after. Nothing
else is excused.
"""

import json
import re
import time

import pytest

from romana.conformance.timeline import Fault
from romana.lab.datagrams import KEPT

PASS, CUT = {"admits": True}, {"loses": True}


def rule(chain, text):
    """Deletes the first rule of a chain that has this text."""

    def damage(nft):
        listed = nft("-a", "list", "chain", "inet", "romana", chain)
        line = next(line for line in listed.splitlines() if text in line)
        nft("delete", "rule", "inet", "romana", chain, *line.partition("# ")[2].split())

    return damage


def word(*words):
    """Runs nft."""
    return lambda nft: nft(*words)


def sets(nft):
    """Empties every set of every program."""
    listed = json.loads(nft("-j", "list", "sets", "table", "inet", "romana"))["nftables"]
    names = [each["set"]["name"] for each in listed if "set" in each]
    assert names
    for name in names:
        nft("flush", "set", "inet", "romana", name)


DAMAGE = {
    "the rule for known connections": (rule("forward", "established"), CUT),
    "the rule that judges what pods receive": (rule("forward", "to-pod"), PASS),
    "the rule that judges what pods send": (rule("forward", "from-pod"), PASS),
    "the map of pods that receive": (word("flush", "map", "inet", "romana", "ingress4"), CUT),
    "the map of pods that send": (word("flush", "map", "inet", "romana", "egress4"), CUT),
    "all sets": (sets, CUT),
    "a chain's rules": (word("flush", "chain", "inet", "romana", "forward"), PASS),
    "a rule too many": (word("insert", "rule", "inet", "romana", "forward", "accept"), PASS),
    "the table": (word("delete", "table", "inet", "romana"), PASS),
    "every table": (word("flush", "ruleset"), PASS),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_repaired_and_has_no_consequence(stage, what):
    damage, explains = DAMAGE[what]
    stage.change()
    stage.settle()
    stage.await_cut()
    stage.judge()
    host = stage.cluster.hosts["host1"].namespace
    repairs = stage.cluster.ask("host1", "status")["repairs"]["policy"]
    since = time.time()
    damage(lambda *words: host.run("nft", *words))
    stage.eventually(lambda: stage.repaired("host1", repairs))
    until = time.time()
    stage.faults.append(Fault(since=since, until=until, **explains))
    stage.await_cut()  # of what began meanwhile
    stage.faults.append(Fault(since=until, until=time.time(), port=KEPT, **explains))
    stage.await_packets(10)
    stage.sound()
    stage.judge(switches=1)
    print("seconds:", round(until - since, 3))
    told = stage.cluster.ask("host1", "status")["repairs"]
    assert re.search(r"changed by nft, pid \d+", told["last"])
