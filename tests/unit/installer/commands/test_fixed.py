"""Controllers may come, go and move, as long as one stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from installer.cluster import Cluster, Host
from installer.commands import fixed
from installer.commands.clusters import Wish, wanted
from installer.errors import InstallerError

Named = Callable[..., Cluster]


@pytest.fixture
def named(tmp_path: Path) -> Named:
    """A cluster of controllers at addresses by their last numbers, and a node."""
    cluster = wanted("sandbox", Wish())[0].cluster
    (tmp_path / "state").mkdir()

    def make(node: int = 99, **controllers: int) -> Cluster:
        hosts = [
            Host(name=name, address=IPv4Address(f"198.18.0.{last}"), groups=("controller",))
            for name, last in controllers.items()
        ]
        one = Host(name="node", address=IPv4Address(f"198.18.0.{node}"), groups=("nodes",))
        return replace(cluster, hosts=(*hosts, one), state=tmp_path / "state")

    return make


@pytest.mark.parametrize(
    "controllers",
    [
        {"b": 2, "c": 3, "d": 4},
        {"a": 9, "b": 2, "c": 3},
        {"c": 3},
        {"d": 4, "e": 5, "a": 1},
    ],
)
def test_controllers_come_go_and_move(named: Named, controllers: dict[str, int]) -> None:
    fixed.keep(named(a=1, b=2, c=3))
    fixed.require(named(**controllers))


@pytest.mark.parametrize("controllers", [{"d": 4, "e": 5}, {"a": 7, "b": 8, "c": 9}])
def test_one_has_to_stay_as_it_is(named: Named, controllers: dict[str, int]) -> None:
    fixed.keep(named(a=1, b=2, c=3))
    with pytest.raises(InstallerError, match=r"stays as it is \(a, b, c\)") as refused:
        fixed.require(named(**controllers))
    assert "restore FILE" in refused.value.advice


def test_a_node_does_not_move(named: Named) -> None:
    fixed.keep(named(a=1, b=2, c=3))
    with pytest.raises(InstallerError, match="cannot change hosts.node.address") as refused:
        fixed.require(named(node=98, b=2, c=3, d=4))
    assert "taken out" in refused.value.advice


def test_what_an_earlier_version_kept_is_understood(named: Named) -> None:
    cluster = named(a=1)
    text = json.dumps({"groups.controller[0]": "a", "hosts.a.address": "198.18.0.1"})
    (cluster.state / fixed.RECORD).write_text(text)
    assert fixed.controllers(cluster) == ("a",)
    fixed.require(named(b=2, c=3, a=1))
    with pytest.raises(InstallerError, match="stays as it is"):
        fixed.require(named(b=2))
