"""Several controllers: every host has a balancer and asks there; one of them does what is done
once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import cast

import pytest

from installer import pki
from installer.cluster import Host
from installer.etcd import Member, Membership
from installer.resources import Condition, File, Service
from installer.resources.base import Resource
from installer.roles.balancer import CONFIG, balancer, no_balancer
from installer.roles.control_plane import control_plane
from installer.roles.etcd import etcd
from installer.roles.etcd_members import leaving_members, lost_members
from installer.roles.former import former
from installer.roles.pki import server
from installer.roles.role import Target

Targets = Callable[..., Target]
TRUSTY = {"os_id": "ubuntu", "os_version": "14.04", "init": "upstart"}


@pytest.fixture
def three(target: Targets) -> Targets:
    """Targets of a cluster with two more controllers."""

    def make(name: str, **changed: object) -> Target:
        membership = cast("Membership", changed.pop("membership", Membership()))
        one = target("c1" if name.startswith("c") else name, **changed)
        more = tuple(
            Host(
                name=f"c{number}",
                address=IPv4Address(f"198.18.0.2{number}"),
                groups=("controller", "nodes"),
            )
            for number in (2, 3)
        )
        cluster = replace(one.cluster, hosts=(*one.cluster.hosts, *more))
        others = {**one.others, **{host.name: one.facts for host in more}}
        return replace(
            one,
            host=next(host for host in cluster.hosts if host.name == name),
            cluster=cluster,
            others=others,
            credentials=pki.ensure(cluster),
            membership=membership,
        )

    return make


def config(found: list[Resource]) -> str:
    (file,) = (each for each in found if isinstance(each, File) and each.path == CONFIG)
    return file.data.decode()


def conditions(found: list[Resource]) -> list[str]:
    return [each.name for each in found if isinstance(each, Condition)]


@pytest.mark.parametrize("name", ["c1", "c2", "n1"])
def test_every_host_asks_by_its_own_balancer(three: Targets, name: str) -> None:
    assert server(three(name)) == "https://127.0.0.1:7443"
    text = config(list(balancer(three(name))))
    servers = [line.split()[1:3] for line in text.splitlines() if line.startswith("  server ")]
    assert servers == [
        ["c1", "198.18.0.11:6443"],
        ["c2", "198.18.0.22:6443"],
        ["c3", "198.18.0.23:6443"],
    ]
    assert "  bind 127.0.0.1:7443\n" in text


def test_a_check_asks_whether_a_server_is_ready_and_ends_its_connections(three: Targets) -> None:
    text = config(list(balancer(three("n1"))))
    assert "option httpchk GET /readyz" in text
    assert "check-ssl verify required ca-file /etc/kubernetes/pki/ca.crt" in text
    assert "on-marked-down shutdown-sessions" in text


def test_a_release_whose_checks_speak_no_tls_connects_only(three: Targets) -> None:
    text = config(list(balancer(three("n1", **TRUSTY))))
    assert "ssl" not in text
    assert "httpchk" not in text
    assert "on-marked-down" not in text
    assert " check inter 1s " in text


def test_with_one_controller_there_is_no_balancer(target: Targets) -> None:
    assert server(target("n1")) == "https://198.18.0.11:6443"
    assert len(list(no_balancer(target("n1")))) == 1


def test_the_first_controller_that_can_be_reached_does_what_is_done_once(three: Targets) -> None:
    one, two = three("c1"), three("c2")
    assert (one.leads, two.leads) == (True, False)
    without = {name: seen for name, seen in two.others.items() if name != "c1"}
    assert replace(two, others=without).leads


def test_several_elect_a_leader(three: Targets, target: Targets) -> None:
    def flags(at: Target) -> list[str]:
        (manager,) = (
            each
            for each in control_plane(at)
            if isinstance(each, Service) and each.name == "kube-controller-manager"
        )
        return [flag for flag in manager.command if "leader-elect" in flag]

    assert flags(target("c1")) == ["--leader-elect=false"]
    assert "--leader-elect-lease-duration=10s" in flags(three("c2"))


def test_members_that_come_and_go_do_not_restart_the_others(three: Targets) -> None:
    def digest(at: Target) -> str:
        (service,) = (each for each in etcd(at) if isinstance(each, Service))
        return service.digest

    joining = Membership(joins=("c2",), mark="m", through=("c1", "c3"))
    assert digest(three("c1", membership=joining)) == digest(three("c1"))
    told = conditions(list(etcd(three("c2", membership=joining))))
    assert told == ["etcd has been told of its new member", "etcd's member has a vote"]
    assert conditions(list(etcd(three("c1", membership=joining)))) == ["etcd's member has a vote"]


def test_one_member_lets_the_others_go(three: Targets) -> None:
    gone = Member(id="ab", name="c9", peer="https://198.18.0.29:2380", alive=False)
    left = replace(gone, id="cd", name="c8", alive=True)
    decided = Membership(lost=(gone,), leaving=(left,), through=("c2", "c1"))
    assert conditions(list(lost_members(three("c2", membership=decided)))) == [
        "etcd has let c9 (ab) go"
    ]
    assert conditions(list(leaving_members(three("c2", membership=decided)))) == [
        "etcd has let c8 (cd) go"
    ]
    assert list(lost_members(three("c1", membership=decided))) == []


def test_a_host_that_is_no_controller_holds_nothing_of_one(three: Targets) -> None:
    assert conditions(list(former(three("n1")))) == ["no control plane runs here"]
    assert conditions(list(former(three("c2")))) == []
