"""Leases: idempotent, never double, never at once again, kept over a restart."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from romana.ipam.leases import Attachment, Exhausted, Lease, Leases, Unavailable
from romana.ipam.leftover import leftover

BLOCK = ip_network("10.0.0.0/29")
SIX = ip_network("fd00::/125")


def wanted(container, **changes):
    lease = Lease(
        attachment=Attachment(container=container, ifname="eth0"),
        pod=("n", container),
        uid="u",
        netns=f"/run/netns/{container}",
        interface=f"rom{container}",
        boot="b1",
    )
    return replace(lease, **changes)


@pytest.fixture
def leases():
    made = Leases(":memory:", clock=count(1).__next__)
    yield made
    made.close()


def take(leases, container, blocks=(BLOCK,), versions=(4,)):
    return leases.allocate(wanted(container), blocks, versions)


def test_addresses_come_in_order_without_the_first_and_last(leases):
    got = [str(take(leases, str(index)).addresses[0]) for index in range(6)]
    assert got == [f"10.0.0.{index}" for index in range(1, 7)]
    with pytest.raises(Exhausted, match="no IPv4 address is left") as caught:
        take(leases, "more")
    assert caught.value.version == 4
    assert leases.find(wanted("more").attachment) is None


def test_one_of_each_family_or_none_at_all(leases):
    lease = take(leases, "a", (BLOCK, SIX), (4, 6))
    assert lease.addresses == (ip_address("10.0.0.1"), ip_address("fd00::1"))
    with pytest.raises(Exhausted) as caught:
        take(leases, "b", (BLOCK,), (4, 6))
    assert caught.value.version == 6
    assert [each.attachment.container for each in leases.all()] == ["a"]
    assert take(leases, "c", (BLOCK, SIX), (4, 6)).addresses[0] == ip_address("10.0.0.2")


def test_the_same_attachment_keeps_its_lease(leases):
    assert take(leases, "a") == take(leases, "a") == leases.find(wanted("a").attachment)
    assert len(leases.all()) == 1


def test_a_freed_address_rests_until_all_others_were_used(leases):
    for name in "abc":
        take(leases, name)
    for name in "ba":
        assert leases.free(wanted(name).attachment).pod == ("n", name)
    assert leases.free(wanted("a").attachment) is None
    got = [str(take(leases, str(index)).addresses[0]) for index in range(5)]
    assert got == ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.1"]


def test_a_further_block_is_used_when_the_first_is_full(leases):
    more = ip_network("10.0.1.0/29")
    for index in range(6):
        take(leases, str(index))
    assert take(leases, "x", (BLOCK, more)).addresses == (ip_address("10.0.1.1"),)
    assert leases.free_count((BLOCK, more), 4) == 5
    assert leases.free_count((BLOCK, SIX), 6) == 6


def test_leases_outlive_the_process(tmp_path):
    first = Leases(tmp_path / "leases.db")
    lease = take(first, "a")
    first.close()
    again = Leases(tmp_path / "leases.db")
    assert again.all() == (lease,)
    again.close()


def test_an_address_cannot_be_leased_twice(tmp_path):
    path = tmp_path / "leases.db"
    leases = Leases(path)
    take(leases, "a")
    base = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError):
        base.execute(
            "INSERT INTO lease VALUES ('10.0.0.1', 4, 'x', 'y', '', '', '', '', '', '', 0)"
        )
    base.close()
    leases.close()


@pytest.mark.parametrize(
    ("netns", "interface", "boot", "freed"),
    [
        (True, True, "b1", False),
        (True, False, "b1", False),
        (False, True, "b1", False),
        (False, False, "b1", True),
        (True, False, "b2", True),
        (False, False, "b2", True),
        (True, True, "b2", False),
    ],
)
def test_only_what_is_gone_is_left_over(netns, interface, boot, freed):
    lease = wanted("a")
    found = leftover([lease], boot, lambda _: netns, lambda _: interface)
    assert found == ((lease,) if freed else ())


class Machine(RuleBasedStateMachine):
    """Any order of attaching and detaching keeps every live address single and stable."""

    def __init__(self):
        super().__init__()
        self.leases = Leases(":memory:", clock=count(1).__next__)
        self.live = {}
        self.last_freed = None

    def teardown(self):
        self.leases.close()

    @rule(name=st.sampled_from("abcdefgh"))
    def attach(self, name):
        others = len(self.live) < 5
        try:
            lease = take(self.leases, name)
        except Exhausted:
            assert len(self.live) == 6
            return
        if name in self.live:
            assert self.live[name] == lease
        elif others:
            assert lease.addresses != self.last_freed
        self.live[name] = lease

    @rule(name=st.sampled_from("abcdefgh"))
    def detach(self, name):
        freed = self.leases.free(wanted(name).attachment)
        assert freed == self.live.pop(name, None)
        if freed:
            self.last_freed = freed.addresses

    @invariant()
    def no_address_is_held_twice(self):
        held = self.leases.all()
        assert {lease.attachment.container: lease for lease in held} == self.live
        addresses = [address for lease in held for address in lease.addresses]
        assert len(addresses) == len(set(addresses))
        assert self.leases.free_count((BLOCK,), 4) == 6 - len(addresses)


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase


def test_an_address_that_is_asked_for(leases):
    nine = ip_address("10.0.0.4")
    lease = leases.allocate(wanted("a", addresses=(nine,)), (BLOCK, SIX), (4, 6))
    assert lease.addresses == (nine, ip_address("fd00::1"))
    with pytest.raises(Unavailable, match=r"10\.0\.0\.4 is leased to another pod"):
        leases.allocate(wanted("b", addresses=(nine,)), (BLOCK,), (4,))
    with pytest.raises(Unavailable, match="none of this host's blocks"):
        leases.allocate(wanted("b", addresses=(ip_address("10.9.0.4"),)), (BLOCK,), (4,))
    assert [each.attachment.container for each in leases.all()] == ["a"]
    leases.free(lease.attachment)
    assert leases.allocate(wanted("b", addresses=(nine,)), (BLOCK,), (4,)).addresses == (nine,)
