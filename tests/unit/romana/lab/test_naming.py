"""Names and addresses in a lab."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from romana.lab.naming import (
    INTERFACE_NAME_MAX,
    Segment,
    belongs,
    check_prefix,
    hardware_address,
    interface_name,
    member,
)

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)
PREFIXES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(PREFIXES, PREFIXES, NAMES)
def test_no_lab_owns_a_name_of_another(one, other, name):
    assert belongs(one, member(one, name))
    assert belongs(one, one)
    assert belongs(other, member(one, name)) == (one == other)


@given(NAMES)
def test_interface_names_fit(name):
    assert len(interface_name("v", name)) <= INTERFACE_NAME_MAX


@given(st.sets(NAMES, min_size=2, max_size=50))
def test_interface_names_are_distinct(names):
    assert len({interface_name("v", name) for name in names}) == len(names)


@pytest.mark.parametrize("prefix", ["", "a.b", "A", "-a", "a-", "a/b", "x" * 64])
def test_prefix_is_refused(prefix):
    with pytest.raises(ValueError, match="cannot name a lab"):
        check_prefix(prefix)


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "-x"])
def test_name_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a namespace"):
        member("lab", name)


@pytest.mark.parametrize("address", ["198.18.0.0", "198.18.0.1", "198.18.0.255", "198.18.1.7"])
def test_address_is_refused(address):
    segment = Segment(name="default", network=IPv4Network("198.18.0.0/24"))
    with pytest.raises(ValueError, match=address):
        segment.interface(address)


def test_segment():
    segment = Segment(name="default", network=IPv4Network("198.18.0.0/24"))
    assert str(segment.gateway) == "198.18.0.1/24"
    assert str(segment.interface("198.18.0.11")) == "198.18.0.11/24"
    assert segment.bridge == "b-default"


@given(NAMES)
def test_hardware_address_is_stable_unicast_and_local(name):
    address = hardware_address(name)
    assert address == hardware_address(name)
    assert len(address) == 17
    assert int(address[:2], 16) & 3 == 2
