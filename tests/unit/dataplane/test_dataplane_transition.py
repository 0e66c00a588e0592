"""A packet that meets two tables of a transition is judged as by the first or as by the last one.

The model of a packet's way is the kernel's (see `transition.py`): rules are those of the generation
it began in, elements are read anew at each lookup, interval sets are exchanged late.
"""

import random
import re
from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xtables_kernel import INGRESS, changed, random_admission, random_packet

from romana.dataplane import Renderer, Settings
from romana.dataplane.direct import orders
from romana.dataplane.ruleset import EMPTY, HOOKED
from romana.dataplane.transition import transition
from romana.policy.admission import Admission, Endpoint, EndpointPrograms, Grant, Program

LOOKUP = re.compile(r"(ip6?) [sd]addr( \. meta l4proto)?( \. th dport)? @(\S+) counter \S+")
OLD_KERNEL, NEW_KERNEL = "before 6.17", "6.17"


class Passing:
    """All the ways in which one side may judge a packet while one transaction is committed.

    Args:
        old, new: the tables before and after it.
        kernel: how interval sets are exchanged.
    """

    def __init__(self, old, new, kernel):
        self.old, self.new, self.kernel = old, new, kernel

    def verdicts(self, side, key, packet):
        """Admitted or not: whatever may be.

        Args:
            side: the verdict map.
            key: of the packet in it.
            packet: peer, protocol and port.
        """
        return {
            verdict
            for began in (False, True)
            for now in moments(began)
            for verdict in self._dispatched(began, now, side, key, packet)
        }

    def _dispatched(self, began, now, side, key, packet):
        table = self.new if now else self.old
        found = dict(each.split(" : ") for each in table.sets[side].elements).get(key)
        if found is None or not found.startswith("goto "):
            yield found is not None
            return
        chain = (self.new if began else self.old).chains.get(found.removeprefix("goto "))
        # A chain that was made since has no rules for this packet: it comes back, and passes.
        yield from self._run(chain.rules, now, packet) if chain else (True,)

    def _run(self, rules, now, packet):
        found = LOOKUP.fullmatch(rules[0])
        if not found:
            assert rules[0].startswith("counter goto deny-")
            yield False
            return
        family, protocol, port, name = found.groups()
        key = [packet[0]] if family == {4: "ip", 6: "ip6"}[packet[0].version] else None
        key = key and [*key, *packet[1:2] * bool(protocol), *packet[2:] * bool(port)]
        for then in moments(now):
            for elements in self._elements(name, then):
                if key and any(holds(each, key) for each in elements):
                    yield True
                else:
                    yield from self._run(rules[1:], then, packet)

    def _elements(self, name, now):
        """What a lookup may find a set to hold: what is deleted stays as it was."""
        before, after = self.old.sets.get(name), self.new.sets.get(name)
        old = before.elements if before else frozenset()
        new = after.elements if after else old
        if not now:
            yield old
            return
        yield new
        if (before or after).interval:
            yield old if self.kernel == NEW_KERNEL else old & new


def moments(now):
    """Whether a later moment is after the change."""
    return (True,) if now else (False, True)


def holds(element, key):
    """Whether an element holds a key."""
    for part, value in zip(element.split(" . "), key, strict=True):
        low, _, high = part.partition("-")
        if isinstance(value, int):
            low, high = int(low), int(high or low)
        else:
            low, high = ip_address(low), ip_address(high or low)
        if not low <= value <= high:
            return False
    return True


def sides(packet):
    """The verdict maps that a packet is looked up in, its key there, and how it is judged."""
    service = (packet.protocol, packet.port)
    for side, interface, own, peer in (
        ("egress", packet.iif, packet.src, packet.dst),
        ("ingress", packet.oif, packet.dst, packet.src),
    ):
        if interface.startswith("rom"):
            key = f'"{interface}" . {own}'
            yield f"{side}{packet.family}", key, (ip_address(peer), *service)


def only(table, side, key, packet):
    """The verdict of one table by itself."""
    (verdict,) = Passing(table, table, NEW_KERNEL).verdicts(side, key, packet)
    return verdict


def wrong(tables, packets, kernel):
    """The packets that are judged, in a sequence of transactions, as neither its first nor its last
    table does."""
    for packet in packets:
        for side in sides(packet):
            allowed = {only(tables[0], *side), only(tables[-1], *side)}
            for old, new in pairwise(tables):
                found = Passing(old, new, kernel).verdicts(*side)
                if not found <= allowed:
                    yield packet, side, found


@pytest.mark.parametrize("kernel", [NEW_KERNEL, OLD_KERNEL])
@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_a_packet_is_judged_by_the_old_or_by_the_new(kernel, seed):
    chance = random.Random(seed)
    renderer = Renderer(Settings())
    first, last = (admission := random_admission(chance)), changed(chance, admission)
    old, new = renderer.render(first), renderer.render(last)
    tables = [old, *transition(old, new)]
    assert tables[-1] == new
    packets = [random_packet(chance, chance.choice((first, last))) for _ in range(25)]
    assert next(wrong(tables, packets, kernel), None) is None
    for before, after in pairwise(tables):
        assert orders(before, after), "each is written without nft, and none for nothing"


A, B, C = "10.112.0.5", "10.112.0.6", "10.112.0.7"
ALL = f"{A}/32"


def grant(peers=ALL, protocol=0, low=0, high=0):
    network = ip_network(peers)
    first, last = int(network.network_address), int(network.broadcast_address)
    return Grant(4, first, last, protocol, low, high or low or 65535)


def table(*programs, **users):
    """Endpoints, each with the name of the program that judges what it receives."""
    endpoints = {
        name: EndpointPrograms(
            endpoint=Endpoint(interface=name, addresses=(ip_address(own),), pod=("t", name)),
            ingress=users.get(name),
        )
        for name, own in (("romB", B), ("romC", C))
    }
    made = {
        name: Program(name=name, direction=INGRESS, policies=(), grants=frozenset(grants))
        for name, *grants in programs
    }
    return Renderer(Settings()).render(Admission(endpoints=endpoints, programs=made))


OTHER, MORE = grant(f"{C}/32", 17, 79), grant(f"{C}/32")
UDP = (ip_address(A), 17, 79)
CASES = {
    "an endpoint gets a new program that denies": (
        table(("p",), romB="p"),
        table(("q",), romB="q"),
        2,
    ),
    "an endpoint gets a new program of networks": (
        table(("p", grant()), romB="p"),
        table(("q", grant("10.112.0.0/24")), romB="q"),
        2,
    ),
    "a grant becomes wider": (
        table(("p", grant(ALL, 17, 79), OTHER), romB="p"),
        table(("p", grant(), OTHER), romB="p"),
        2,
    ),
    "a grant becomes a network's": (
        table(("p", grant()), romB="p"),
        table(("p", grant("10.112.0.0/24", 17, 79)), romB="p"),
        2,
    ),
    "a network gives way to another": (
        table(("p", grant("10.112.0.0/24", 17, 79)), romB="p"),
        table(("p", grant("10.112.0.0/23", 17, 79)), romB="p"),
        3,
    ),
    "an endpoint leaves a program that now admits more": (
        table(("p", MORE), ("q",), romB="p", romC="p"),
        table(("p", MORE, grant()), ("q",), romB="q", romC="p"),
        2,
    ),
    "an endpoint joins a program that admitted more": (
        table(("p",), ("q", grant("10.112.0.0/24")), romB="p", romC="q"),
        table(("p",), ("q",), romB="q", romC="q"),
        2,
    ),
    "two endpoints take each other's place": (
        table(("p", grant()), ("q",), romB="p", romC="q"),
        table(("p",), ("q", grant()), romB="q", romC="p"),
        6,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_one_transaction_would_not_be_enough_for(case):
    old, new, transactions = CASES[case]
    tables = [old, *transition(old, new)]
    assert len(tables) == transactions + 1

    def faults(kernel, tables):
        return [
            (name, each, found)
            for name, key in (("romB", f'"romB" . {B}'), ("romC", f'"romC" . {C}'))
            for each in pairwise(tables)
            if not (found := Passing(*each, kernel).verdicts("ingress4", key, UDP))
            <= {only(old, "ingress4", key, UDP), only(new, "ingress4", key, UDP)}
        ]

    assert any(faults(kernel, [old, new]) for kernel in (OLD_KERNEL, NEW_KERNEL))
    for kernel in (OLD_KERNEL, NEW_KERNEL):
        assert not faults(kernel, tables)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([grant()], [grant(), grant(f"{B}/32")]),
        ([grant(), grant(f"{B}/32")], [grant()]),
        ([grant()], [grant(f"{B}/32")]),
        ([grant(ALL, 17, 79)], [grant(f"{B}/32", 17, 80)]),
    ],
    ids=["more", "less", "another", "another on another port"],
)
def test_what_concerns_other_peers_is_one_transaction(before, after):
    old, new = table(("p", *before), romB="p"), table(("p", *after), romB="p")
    assert list(transition(old, new)) == [new]


def test_what_does_not_change_takes_none():
    assert list(transition(table(("p", grant())), table(("p", grant())))) == []


def test_a_table_that_is_made_judges_packets_when_it_is_complete():
    new = table(("p", grant("10.112.0.0/24")), romB="p")
    first, last = transition(EMPTY, new)
    hooked = {name for name, each in new.chains.items() if each.hook}
    assert hooked == set(HOOKED)
    assert first.chains.keys() == new.chains.keys() - hooked
    assert (first.sets, first.counters, last) == (new.sets, new.counters, new)
