"""What the host's own network looks like, from the output of ip."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

from romana.agent.surroundings import Surroundings, parse

ADDRESSES = json.dumps(
    [
        {
            "ifname": "lo",
            "flags": ["LOOPBACK", "UP"],
            "mtu": 65536,
            "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}],
        },
        {
            "ifname": "eth0",
            "flags": ["UP"],
            "mtu": 9001,
            "addr_info": [
                {"local": "198.18.0.11", "prefixlen": 24},
                {"local": "fe80::1", "prefixlen": 64},
                {"local": "fd00::11", "prefixlen": 64},
            ],
        },
        {
            "ifname": "eth1",
            "flags": ["UP"],
            "mtu": 1400,
            "addr_info": [{"local": "10.9.0.1", "prefixlen": 16}],
        },
        {
            "ifname": "rom1",
            "flags": ["UP"],
            "mtu": 1500,
            "addr_info": [{"local": "fe80::2", "prefixlen": 64}],
        },
        {},
    ]
)
ROUTES = json.dumps([{"dst": "default", "gateway": "10.9.0.2", "dev": "eth1"}])


def test_addresses_and_segments_leave_out_pods_and_what_is_local():
    found = parse(ADDRESSES, ROUTES)
    assert ip_address("198.18.0.11") in found.addresses
    assert ip_address("fe80::2") not in found.addresses
    assert found.segments == {
        ip_network("198.18.0.0/24"),
        ip_network("fd00::/64"),
        ip_network("10.9.0.0/16"),
    }


def test_the_mtu_is_that_of_the_nodes_interface_else_of_the_default_route():
    found = parse(ADDRESSES, ROUTES)
    assert found.mtu((ip_address("198.18.0.11"),)) == 9001
    assert found.mtu(()) == 1400
    assert Surroundings().mtu(()) == 1500
    assert parse("", "") == Surroundings()
