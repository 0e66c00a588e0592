"""One way in for many hosts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import Any

import pytest

from installer.cluster import SSH, Bastion, Host
from installer.errors import Unreachable
from installer.hosts.bastions import Bastions

JUMP = Bastion(name="jump", ssh=SSH(address="jump.example.com"))


def host(name: str, bastion: str = "jump") -> Host:
    address = IPv4Address("192.0.2.10")
    return Host(name=name, address=address, groups=("nodes",), ssh=SSH(bastion=bastion))


def test_all_hosts_share_one_connection() -> None:
    opened: list[str] = []

    def open_(what: Host | Bastion, gateway: Any) -> Any:
        opened.append(what.name)
        return object()

    ways = Bastions((JUMP,), open_)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ways.way, [host(f"node{number}") for number in range(50)]))
    assert (len(found), opened) == (1, ["jump"])
    assert ways.way(host("direct", "")) is None
    ways.close()


def test_a_bastion_that_is_gone_is_tried_once_and_told_for_every_host() -> None:
    tried: list[str] = []

    def open_(what: Host | Bastion, gateway: Any) -> Any:
        tried.append(what.name)
        raise Unreachable("jump", "jump (root@jump.example.com:22): no SSH connection", "look")

    ways = Bastions((JUMP,), open_)
    for name in ("node1", "node2"):
        with pytest.raises(Unreachable, match=rf"^{name}: behind jump \(root@") as caught:
            ways.way(host(name))
        assert (caught.value.host, caught.value.advice) == (name, "look")
    assert tried == ["jump"]
