"""Messages of the kernel, as recorded from one."""

import json
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romana.dataplane.conntrack import parse_connection
from romana.dataplane.messages import attribute, attributes, message, messages, nested, text
from romana.dataplane.netlink import (
    LinkChanged,
    RouteChanged,
    Transactions,
    route_notifications,
)
from romana.policy.admission import Flow

RECORDED = json.loads(Path(__file__).with_name("recorded_netlink.json").read_text())


def recorded(kind):
    return [each for data in RECORDED[kind] for each in messages(bytes.fromhex(data))]


def test_a_transaction_is_told_with_its_tables_and_its_author():
    transactions = Transactions()
    (change,) = [each for part in recorded("nftables") for each in transactions.notifications(part)]
    assert change.tables == {"inet romana", "ip nat"}
    assert change.process == "nft"
    assert change.pid > 1
    assert change.port > 1
    assert str(change) == f"inet romana, ip nat changed by nft, pid {change.pid}"


def test_routes_and_links_are_told():
    told = [each for part in recorded("route") for each in route_notifications(part)]
    ours = [
        (str(each.destination), each.added)
        for each in told
        if isinstance(each, RouteChanged) and each.protocol == 82
    ]
    assert ours == [
        ("10.112.0.5/32", True),
        ("fd00:112::5/128", True),
        ("10.112.0.0/25", True),
        ("10.112.0.5/32", False),
        ("fd00:112::5/128", False),
    ]
    links = [(each.name, each.present) for each in told if isinstance(each, LinkChanged)]
    assert links == [("rom1", True), ("rom1", False)]


def test_routes_of_the_local_table_are_left_out():
    told = [each for part in recorded("route") for each in route_notifications(part)]
    assert {each.table for each in told if isinstance(each, RouteChanged)} == {254}
    assert ip_network("fe80::/64") in {
        each.destination for each in told if isinstance(each, RouteChanged)
    }


def test_connections_are_read():
    found = [
        parse_connection(bytes.fromhex(each))
        for kind in ("conntrack4", "conntrack6")
        for each in RECORDED[kind]
    ]
    node, other = ip_address("198.18.0.11"), ip_address("198.18.0.12")
    flows = {
        Flow(source=node, destination=other, protocol=132, port=9),
        Flow(source=node, destination=other, protocol=17, port=53),
        Flow(source=node, destination=other, protocol=1),
        Flow(source=node, destination=other, protocol=6, port=8080),
        Flow(
            source=ip_address("fd00:18::11"),
            destination=ip_address("fd00:18::12"),
            protocol=6,
            port=81,
        ),
    }
    assert {each.flow for each in found} == flows
    (service,) = [each for each in found if each.flow.port == 8080]
    assert (service.target, service.target_port) == (ip_address("198.18.0.50"), 80)
    assert len({each.key for each in found}) == len(found)


@pytest.mark.parametrize("size", [0, 3, 4, 17])
def test_what_is_cut_short_is_read_as_far_as_it_goes(size):
    data = bytes.fromhex(RECORDED["route"][0])
    assert len(list(messages(data[:size]))) <= 1
    assert list(messages(b"\0" * 16)) == []
    assert attributes(b"\0\0\0\0") == {}


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 100), st.binary(max_size=40)))
def test_attributes_there_and_back(values):
    data = b"".join(attribute(kind, value) for kind, value in values.items())
    assert attributes(data) == values
    outer = attributes(nested(7, data))
    assert attributes(outer[7]) == values


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.binary(max_size=40)), max_size=5))
def test_messages_there_and_back(parts):
    packed = b"".join(
        message(kind, 0, at, body) + b"\0" * (-len(body) % 4)
        for at, (kind, body) in enumerate(parts)
    )
    assert [(each.type, each.sequence, each.body) for each in messages(packed)] == [
        (kind, at, body) for at, (kind, body) in enumerate(parts)
    ]


def test_text():
    assert text(b"nft\0") == "nft"
