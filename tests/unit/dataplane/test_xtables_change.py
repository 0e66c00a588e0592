"""Changes of iptables and ipset: where they lead, and what is in force at each moment of them."""

import copy
import random
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from xtables_kernel import (
    BASE,
    INGRESS,
    Kernel,
    Packet,
    changed,
    expected,
    loaded,
    random_admission,
    random_packet,
)

from romana.dataplane.denials import DenialLog
from romana.dataplane.nftables import Settings
from romana.dataplane.xtables.change import Found, difference, replacement
from romana.dataplane.xtables.tables import EMPTY, HOOKS, Renderer, render
from romana.policy.admission import Admission, Endpoint, EndpointPrograms, Grant, Program

LOGGED = Settings(denial_log=DenialLog(namespaces=frozenset("t")))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_at_every_moment_of_a_change_a_packet_is_judged_by_the_old_or_the_new(seed):
    chance = random.Random(seed)
    renderer = Renderer(chance.choice((Settings(), LOGGED)))
    old = random_admission(chance)
    kernel, placed, naming = loaded(renderer.render(old))
    new = changed(chance, old)
    renderer.settings = chance.choice((Settings(), LOGGED))
    wanted = renderer.render(new)
    assert wanted == render(new, renderer.settings), "what is taken from before is as if made anew"
    change = difference(placed, wanted, naming)
    packets = [random_packet(chance, chance.choice((old, new))) for _ in range(40)]
    allowed = [{expected(old, each), expected(new, each)} for each in packets]

    def check(moment):
        for packet, verdicts in zip(packets, allowed, strict=True):
            assert kernel.verdict(packet)[0] in verdicts, (moment, packet)

    for line in change.sets:
        kernel.ipset(line)
        check(line)
    for family, text in change.rules.items():
        kernel.iptables(family, text)
        check(f"rules of IPv{family}")
    for name in change.swept:
        kernel.ipset(f"destroy {name}")
    for packet in packets:
        assert kernel.verdict(packet)[0] == expected(new, packet)
    assert set(kernel.sets) == set(change.result.names.values())
    for key, name in change.result.names.items():
        assert kernel.sets[name] == wanted.sets[key].elements
    fresh, _, _ = loaded(wanted)
    assert fresh.chains[4].keys() == kernel.chains[4].keys()


class Slow(Kernel):
    """A kernel in which all of a change to the sets comes between two lookups of a packet."""

    def __init__(self, kernel, lines):
        super().__init__()
        self.chains, self.before = kernel.chains, copy.deepcopy(kernel.sets)
        for line in lines:
            kernel.ipset(line)
        self.after, self.sets, self.lookups = kernel.sets, {}, 0

    def contains(self, name, directions, packet):
        self.sets = self.after if self.lookups <= 0 else self.before
        self.lookups -= 1
        return super().contains(name, directions, packet)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_packet_that_meets_both_ends_of_a_change_to_sets_is_judged_by_the_old_or_the_new(seed):
    chance = random.Random(seed)
    old = random_admission(chance)
    made, placed, naming = loaded(render(old, Settings()))
    new = changed(chance, old)
    change = difference(placed, render(new, Settings()), naming)
    kernel = Slow(made, change.sets)
    for _ in range(60):
        packet = random_packet(chance, chance.choice((old, new)))
        for kernel.lookups in range(8):
            verdict, _ = kernel.verdict(packet)
            assert verdict in {expected(old, packet), expected(new, packet)}, packet


def test_a_program_that_admits_a_peer_otherwise_is_changed_beside_the_old_one():
    """Else a packet may miss the new element, which is not there yet, and then the old one, which
    is not there any more."""
    peer, other = BASE[4] + 1, BASE[4] + 9
    kept = {Grant(4, other, other, 0, 0, 65535), Grant(4, other + 1, other + 1, 6, 80, 80)}
    old, new = (
        {*kept, Grant(4, peer, peer, 6, 80, 80)},
        {*kept, Grant(4, peer, peer, 0, 0, 65535)},
    )
    packet = Packet(iif="eth0", oif="rom1", src=str(ip_address(peer)), dst="10.112.0.5")
    made, placed, naming = loaded(render(_one(old), Settings()))
    change = difference(placed, render(_one(new), Settings()), naming)
    kernel = Slow(made, change.sets)
    for kernel.lookups in range(8):
        assert kernel.verdict(packet)[0] == "ACCEPT"
    assert change.rules


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_what_was_done_to_sets_can_be_taken_back(seed):
    chance = random.Random(seed)
    old = random_admission(chance)
    kernel, placed, naming = loaded(render(old, Settings()))
    before = copy.deepcopy(kernel.sets)
    change = difference(placed, render(changed(chance, old), Settings()), naming)
    for line in change.sets:
        kernel.ipset(line)
    for line in change.undone:
        kernel.ipset(line, exist=True)
    assert kernel.sets == before


def test_removal_leaves_nothing():
    tables = render(random_admission(random.Random(3)), Settings())
    kernel, placed, naming = loaded(tables)
    found = {
        key: Found(chains=frozenset(chains), hooks=dict.fromkeys(HOOKS[key[1]], 1))
        for key, chains in tables.chains.items()
    }
    change = replacement(found, frozenset(placed.names.values()), EMPTY, naming)
    for family, text in change.rules.items():
        kernel.iptables(family, text)
    for name in change.swept:
        kernel.ipset(f"destroy {name}")
    assert (kernel.sets, kernel.chains) == ({}, {4: {}, 6: {}})
    assert "-D FORWARD -j ROMANA-FORWARD" in change.rules[4]


def test_an_unchanged_admission_changes_nothing():
    renderer = Renderer(Settings())
    admission = random_admission(random.Random(1))
    _, placed, naming = loaded(renderer.render(admission))
    change = difference(placed, renderer.render(admission), naming)
    assert (change.sets, change.rules, change.swept) == ((), {}, frozenset())


def test_one_more_grant_is_one_line_of_ipset():
    renderer = Renderer(Settings())
    grants = {Grant(4, at, at, 6, 80, 80) for at in range(1, 200)}
    _, placed, naming = loaded(renderer.render(_one(grants)))
    more = renderer.render(_one(grants | {Grant(4, 500, 500, 6, 80, 80)}))
    change = difference(placed, more, naming)
    assert change.sets == ("add ROMANA-p-hp-3 0.0.1.244,tcp:80",)
    assert (change.rules, change.swept) == ({}, frozenset())


def _one(grants):
    """One endpoint, with one program for what it receives."""
    endpoint = Endpoint(interface="rom1", addresses=(ip_address("10.112.0.5"),), pod=("t", "t"))
    program = Program(name="p", direction=INGRESS, policies=(), grants=frozenset(grants))
    programs = EndpointPrograms(endpoint=endpoint, ingress="p")
    return Admission(endpoints={"rom1": programs}, programs={"p": program})
