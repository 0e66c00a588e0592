"""The API server that the operator is sent to."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from installer import pki
from installer.cluster import Cluster, Host
from installer.commands.clusters import Wish, wanted
from installer.platforms.answering import Dial, answering, endpoint


@pytest.fixture
def three(tmp_path: Path) -> Cluster:
    hosts = tuple(
        Host(name=f"c{n}", address=IPv4Address(f"198.18.0.{n}"), groups=("controller",))
        for n in (1, 2, 3)
    )
    return replace(wanted("sandbox", Wish())[0].cluster, hosts=hosts, state=tmp_path)


def refusing(*dead: str) -> tuple[list[str], Dial]:
    asked: list[str] = []

    def dial(address: str, port: int) -> socket.socket:
        asked.append(address)
        if address in dead:
            raise ConnectionRefusedError
        return socket.socket()

    return asked, dial


@pytest.mark.parametrize(
    ("dead", "found"),
    [
        ((), "c1"),
        (("198.18.0.1",), "c2"),
        (("198.18.0.1", "198.18.0.2"), "c3"),
        (("198.18.0.1", "198.18.0.2", "198.18.0.3"), "c1"),
    ],
)
def test_the_first_that_takes_connections(
    three: Cluster, dead: tuple[str, ...], found: str
) -> None:
    _, dial = refusing(*dead)
    assert answering(three, dial).name == found


def test_where_there_is_no_choice_nobody_is_asked(three: Cluster) -> None:
    asked, dial = refusing()
    single = replace(three, hosts=three.hosts[:1])
    assert endpoint(single, dial) == "https://198.18.0.1:6443"
    assert asked == []


def test_a_balancer_of_the_operators_own_is_named_in_certificates(three: Cluster) -> None:
    asked, dial = refusing()
    own = replace(three, api_endpoint="https://api.example.org:6443")
    assert endpoint(own, dial) == own.api_endpoint
    assert asked == []
    before = pki.ensure(three).leaf("c1", "apiserver")
    assert pki.ensure(own).leaf("c1", "apiserver") != before
    assert pki.ensure(own).leaf("c1", "apiserver-kubelet-client") == pki.ensure(three).leaf(
        "c1", "apiserver-kubelet-client"
    )
