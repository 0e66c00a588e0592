"""Blocks over zones: pure arithmetic."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romana.ipam.layout import Layout, LayoutError, holding, usable


def layout(*cidrs, **settings):
    return Layout(cidrs=tuple(map(ip_network, cidrs)), **settings)


def test_each_zone_has_its_share():
    three = layout("10.112.0.0/12", "fd00::/64", zones=("a", "b", "c"))
    assert [str(share) for share in three.shares("a")] == ["10.112.0.0/14", "fd00::/66"]
    assert [str(share) for share in three.shares("c")] == ["10.120.0.0/14", "fd00::8000:0:0:0/66"]
    assert layout("10.112.0.0/12").shares("default") == (ip_network("10.112.0.0/12"),)


def test_a_zone_appended_within_the_power_of_two_moves_nothing():
    before, after = (
        layout("10.0.0.0/8", zones=zones) for zones in (("a", "b", "c"), ("a", "b", "c", "d"))
    )
    assert [before.shares(zone) for zone in "abc"] == [after.shares(zone) for zone in "abc"]


@pytest.mark.parametrize(
    ("cidr", "settings", "message"),
    [
        ("10.0.0.0/26", {}, "holds 0 blocks of /25|holds 1 blocks of /25"),
        ("10.0.0.0/24", {"zones": ("a", "b", "c")}, "holds 2 blocks of /25, too few for 3 zones"),
        ("10.0.0.0/24", {"block_size": 31}, "no address for a pod"),
        ("10.0.0.0/8", {"zones": ()}, "zones must be named"),
        ("10.0.0.0/8", {"zones": ("a", "a")}, "zones must be named"),
    ],
)
def test_what_does_not_fit_is_refused(cidr, settings, message):
    with pytest.raises(LayoutError, match=message):
        layout(cidr, **settings)


def test_an_unknown_zone_is_refused():
    with pytest.raises(LayoutError, match="zone `x` is not one of default"):
        layout("10.0.0.0/8").shares("x")


@settings(deadline=None)  # about what is found, not how fast: the machine may be busy
@given(
    cidr=st.sampled_from(["10.112.0.0/12", "10.0.0.0/22", "fd00::/110", "10.0.0.0/25"]),
    node=st.text(max_size=8),
    zones=st.integers(1, 5),
    data=st.data(),
)
def test_candidates_are_all_free_blocks_of_the_zone_once(cidr, node, zones, data):
    names = tuple(map(str, range(zones)))
    network = ip_network(cidr)
    try:
        made = layout(cidr, zones=names)
    except LayoutError:
        return
    zone = data.draw(st.sampled_from(names))
    (share,) = made.shares(zone)
    first = next(made.candidates(zone, node, network.version, ()))
    seen = list(islice(made.candidates(zone, node, network.version, {first}), 600))
    assert first not in seen
    assert len(set(seen)) == len(seen)
    assert all(block.subnet_of(share) for block in [first, *seen])
    expected = 1 << (made.size_in(network) - share.prefixlen)
    assert len(seen) == min(expected - 1, 600)


def test_blocks_claimed_under_another_size_are_respected():
    made = layout("10.0.0.0/24", block_size=27)
    taken = {ip_network("10.0.0.0/25"), ip_network("10.0.0.128/28"), ip_network("fd00::/64")}
    free = set(made.candidates("default", "one", 4, taken))
    assert free == {ip_network(f"10.0.0.{last}/27") for last in (160, 192, 224)}


def test_zones_never_overlap():
    made = layout("10.0.0.0/16", zones=("a", "b", "c"))
    shares = [made.shares(zone)[0] for zone in made.zones]
    assert not any(one.overlaps(other) for one in shares for other in shares if one is not other)


def test_usable_and_holding():
    block = ip_network("10.0.0.128/25")
    assert (usable(block)[0], usable(block)[-1]) == (
        int(ip_address("10.0.0.129")),
        int(ip_address("10.0.0.254")),
    )
    assert holding([ip_network("fd00::/64"), block], ip_address("10.0.0.130")) == block
    assert holding([block], ip_address("10.0.1.1")) is None


def test_claims_begin_near_where_the_fabric_leads() -> None:
    one = layout("10.112.0.0/12", zones=("a", "b"), block_size=25)
    near = ip_network("10.122.0.0/15")
    first = next(one.candidates("b", "node1", 4, (), near))
    assert str(first) == "10.122.0.0/25"
    held = {ip_network("10.122.0.0/25")}
    assert str(next(one.candidates("b", "node1", 4, held, near))) == "10.122.0.128/25"


def test_a_full_prefix_is_followed_by_the_rest_of_the_zone() -> None:
    one = layout("10.0.0.0/24", zones=("a", "b"), block_size=27)
    near = ip_network("10.0.0.192/26")
    found = [str(block) for block in one.candidates("b", "node1", 4, (), near)]
    assert found == ["10.0.0.192/27", "10.0.0.224/27", "10.0.0.128/27", "10.0.0.160/27"]


def test_a_prefix_of_another_zone_does_not_count() -> None:
    one = layout("10.112.0.0/12", zones=("a", "b"), block_size=25)
    plain = next(one.candidates("a", "node1", 4, ()))
    assert next(one.candidates("a", "node1", 4, (), ip_network("10.122.0.0/15"))) == plain
