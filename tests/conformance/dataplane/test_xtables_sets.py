"""Sets as they are written by netlink and by the program ipset: the same in the kernel, and the
same refusals."""

import asyncio

import pytest

from romana.dataplane.errors import CommandError, NetlinkError
from romana.dataplane.xtables.sets import (
    IpSet,
    additions,
    creation,
    deletions,
    destruction,
    parse_sets,
)
from romana.dataplane.xtables.setwriter import DirectWriter, ProgramWriter, set_writer
from romana.lab.namespaces import Lab

HOSTS = tuple(f"10.1.{at >> 8}.{at & 255}" for at in range(3000))
CONTENTS = {
    "h4": ("hash:ip", 4, ("10.0.0.1", "255.255.255.255", *HOSTS)),
    "h6": ("hash:ip", 6, ("fd00::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
    "n4": ("hash:net", 4, ("10.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.1")),
    "n6": ("hash:net", 6, ("fd00::/64", "::/1", "8000::/1", "fd00::1")),
    "hp4": ("hash:ip,port", 4, ("10.0.0.1,tcp:80", "10.0.0.1,udp:80", "10.0.0.1,sctp:65535")),
    "hp6": ("hash:ip,port", 6, ("fd00::1,tcp:1", "fd00::1,sctp:80")),
    "np4": ("hash:net,port", 4, ("10.0.0.0/24,tcp:80", "0.0.0.0/1,sctp:9", "10.0.0.1,udp:53")),
    "ni4": ("hash:net,iface", 4, ("10.0.0.1,rom0123456789ab", "10.0.0.2,rom1")),
    "ni6": ("hash:net,iface", 6, ("fd00::1,rom0123456789ab",)),
    "np6": ("hash:net,port", 6, ("fd00::/64,sctp:80", "::/1,udp:53", "fd00::1,tcp:80")),
}
SETS = {
    f"ROMANA-{name}-0": IpSet(
        type=kind, family=family, counted="iface" in kind, elements=frozenset(elements)
    )
    for name, (kind, family, elements) in CONTENTS.items()
}


class Machine:
    """A network namespace, and one of the two ways to write its sets."""

    def __init__(self, namespace, direct):
        self.namespace = namespace
        self.writer = self.do(set_writer(direct=direct))
        assert isinstance(self.writer, DirectWriter if direct else ProgramWriter)

    def do(self, work):
        return self.namespace.inside(lambda: asyncio.run(work))

    def sets(self):
        return parse_sets(self.namespace.run("ipset", "save"))

    def create(self, sets=SETS):
        lines = [line for name, each in sets.items() for line in creation(name, each)]
        self.do(self.writer.write(lines))


@pytest.fixture(params=[True, False], ids=["netlink", "program"])
def machine(request):
    with Lab("rt-sets") as lab:
        yield Machine(lab.namespace("sets"), request.param)


def test_every_kind_of_element_comes_and_goes(machine):
    machine.create()
    assert machine.sets() == SETS
    counted = machine.sets()["ROMANA-ni4-0"].packets
    assert counted == dict.fromkeys(SETS["ROMANA-ni4-0"].elements, 0)
    lines = [line for name, each in SETS.items() for line in deletions(name, each.elements)]
    machine.do(machine.writer.write(lines))
    assert not any(each.elements for each in machine.sets().values())
    assert machine.do(machine.writer.destroy(frozenset(SETS))) == frozenset()
    assert machine.sets() == {}


def test_a_refusal_names_the_set_and_nothing_is_deleted_after_it(machine):
    machine.create()
    lines = [
        *additions("ROMANA-n4-0", ("11.0.0.0/8",)),
        *additions("ROMANA-h4-0", ("10.0.0.1",)),
        *deletions("ROMANA-h6-0", ("fd00::1",)),
    ]
    said = "already" if isinstance(machine.writer, ProgramWriter) else "ROMANA-h4-0: .*already"
    with pytest.raises((CommandError, NetlinkError), match=said):
        machine.do(machine.writer.write(lines))
    assert machine.sets()["ROMANA-h6-0"] == SETS["ROMANA-h6-0"]
    undo = [
        *deletions("ROMANA-n4-0", ("11.0.0.0/8",)),
        *additions("ROMANA-h6-0", ("fd00::1",)),
    ]
    machine.do(machine.writer.take_back(undo))
    assert machine.sets() == SETS


def test_a_set_that_a_rule_looks_up_is_kept(machine):
    machine.create()
    rule = "FORWARD -m set --match-set ROMANA-h4-0 src -j ACCEPT"
    machine.namespace.run("iptables-legacy", "-A", *rule.split())
    names = frozenset(SETS)
    held = {"ROMANA-h4-0"}
    assert machine.do(machine.writer.destroy(names)) == held
    assert set(machine.sets()) == held
    machine.namespace.run("iptables-legacy", "-F", "FORWARD")
    assert machine.do(machine.writer.destroy(frozenset(held))) == frozenset()
    assert machine.sets() == {}


def test_sets_that_are_gone_are_undone(machine):
    machine.create({"ROMANA-h6-0": SETS["ROMANA-h6-0"]})
    lines = tuple(destruction(("ROMANA-h6-0",)))
    machine.do(machine.writer.take_back(lines))
    assert machine.sets() == {}
