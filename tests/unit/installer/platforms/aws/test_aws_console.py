"""A host key that comes from the console: read when it is there, and pinned in the tags."""

from __future__ import annotations

import pytest

from installer.cluster import Cluster
from installer.errors import Unreachable
from installer.platforms.aws import login
from installer.platforms.aws.api import Api, Pace
from installer.platforms.aws.kinds import instance
from installer.platforms.aws.places import scope_of
from installer.platforms.aws.records import Found

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBeLmf8v9ZWQY5PP7E5zW2Wyumnfy7Rtale9vCaegH3H"
SAID = f"-----BEGIN SSH HOST KEY KEYS-----\n{KEY} root@x\n-----END SSH HOST KEY KEYS-----\n"


@pytest.fixture
def node(cloud, cluster, aws) -> tuple[Api, Found, Cluster]:
    """A new instance that was given no key."""
    platform, wanted = aws(), cluster("aws.host_keys=console", nodes=1)
    platform.provision(wanted, lambda event: None)
    api = platform.api(wanted)
    found = {each.ref.name: each for each in instance.find(api, scope_of(wanted))}["node1"]
    assert found.details["host_key"] == ""
    return api, found, wanted


def test_it_is_waited_for_and_pinned(cloud, node) -> None:
    api, found, wanted = node
    texts = iter(["", "booting\n", SAID])
    cloud.consoles = Console(texts)
    assert login._from_console(api, found, wanted.hosts[1]) == KEY
    again = {each.ref.name: each for each in instance.find(api, scope_of(wanted))}["node1"]
    assert login.is_settled(again)


class Console(dict):
    """Says more each time it is read."""

    def __init__(self, texts) -> None:
        super().__init__()
        self._texts = texts

    def get(self, key, default=""):
        return next(self._texts)


def test_one_that_stays_silent_is_told(cloud, node) -> None:
    api, found, wanted = node
    api.pace = Pace(first_s=0.001, longest_s=0.01, running_s=0.05)
    with pytest.raises(Unreachable, match=r"node1: its console shows no host key \(i-"):
        login._from_console(api, found, wanted.hosts[1])
