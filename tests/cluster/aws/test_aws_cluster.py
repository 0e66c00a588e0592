"""A cluster across two zones, from an empty account to a passed smoke test and back to an empty
account, as docs/aws.md has it; and that what the VPC lacks is found, and mended by another run."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest
from documented import Page

from installer.errors import InstallerError
from installer.events import CheckResult, Event
from installer.platforms.aws import Aws, login
from installer.smoke import run
from installer.smoke.pace import PACE

pytestmark = Page("aws.md").mark
CONTROLLER, NODE1, NODE2 = "198.18.64.10", "198.18.80.10", "198.18.64.11"


class SeenError(Exception):
    """Enough was seen."""


def silent(event: Event) -> None:
    pass


@pytest.fixture(scope="module")
def installed(region):
    """The cluster, made by the page's own commands."""
    foreseen = region.type("romana-install aws --check --diff", *region.settings)
    assert foreseen.code == 2, foreseen.err
    assert "would create instance node1: node, t3.medium, debian-12-amd64" in foreseen.out
    assert region.cloud.changes == 0
    ended = region.aws()
    region.settled()
    assert ended.code == 0, ended.out[-3000:] + ended.err
    assert len(ended.of("CheckResult")) > 15
    assert all(check["passed"] for check in ended.of("CheckResult"))
    assert "across hosts" in {check["where"] for check in ended.of("CheckResult")}
    return region


def failed(region) -> str:
    """The first check across hosts that does not pass; on a busy machine others may be late."""
    found: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, CheckResult) and not event.passed and event.where == "across hosts":
            found.append(event.name)
            raise SeenError

    pace = replace(PACE, open_limit_s=8)  # a route that is missing will not come
    cluster = region.cluster
    with pytest.raises(SeenError):
        region.lab.inside(lambda: run(cluster, {}, emit, pace))
    return found[0]


def test_the_router_holds_exactly_the_vpcs_routes(installed) -> None:
    assert installed.router() == {
        "10.112.0.0/14": CONTROLLER,
        "10.114.0.0/15": NODE2,
        "10.116.0.0/14": NODE1,
    }


def test_blocks_lie_where_routes_lead(installed) -> None:
    ended = installed.type("romana-install ssh controller -- sudo romana block list")
    owners = dict(re.findall(r"(10\.\d+\.\d+\.\d+)/25 +(\w+)", ended.out))
    assert owners["10.114.0.0"] == "node2", ended.out
    assert owners["10.116.0.0"] == "node1", ended.out


def test_hosts_have_keys_that_nobody_else_has_seen(installed) -> None:
    for machine in installed.machines.values():
        shown = installed.on(machine, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub").strip()
        instance = instance_of(installed, machine.hostname)
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        assert tags["romana.io/host-key"] == shown
        assert "romana.io/next-host-key" not in tags
        assert "romana_new" not in installed.on(machine, "ls /etc/ssh")
    assert list((installed.state / "aws/hosts").iterdir()) == []


def instance_of(region, name: str):
    id_ = next(id_ for id_, machine in region.machines.items() if machine.hostname == name)
    return region.cloud.backend.get_instance(id_)


def test_again_there_is_nothing_to_do(installed) -> None:
    before, calls = installed.cloud.changes, len(installed.cloud.calls)
    ended = installed.aws()
    assert len(installed.cloud.calls) - calls == 11  # one for each kind, the quota
    assert ended.code == 0, ended.err
    assert ended.results("changed", "failed", "unreachable") == []
    assert ended.of("CheckResult") == []
    assert installed.cloud.changes == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("romana-install status -n aws", "all is well"),
        ("romana-install ssh node1 -- sudo romana status", "node1"),
        ("romana-install kubeconfig -n aws", "clusters/aws/kubeconfig"),
    ],
)
def test_the_other_verbs_work_as_for_any_cluster(installed, line: str, says: str) -> None:
    ended = installed.type(line)
    assert ended.code == 0, ended.out + ended.err
    assert says in ended.out


def test_a_missing_route_fails_the_smoke_test_and_another_run_mends_it(installed) -> None:
    table = next(t for t in installed.cloud.backend.route_tables.values() if t.get_tags())
    installed.cloud.backend.delete_route(table.id, "10.116.0.0/14")
    installed.changed()
    assert failed(installed)
    ended = installed.aws("--set", "cluster.smoke=false")
    assert ("aws", "route 10.116.0.0/14") in ended.results("changed")
    assert installed.router()["10.116.0.0/14"] == NODE1


def test_a_check_that_is_on_fails_the_smoke_test_and_another_run_mends_it(installed) -> None:
    instance_of(installed, "node1").source_dest_check = True
    installed.changed()
    assert failed(installed)
    ended = installed.aws("--set", "cluster.smoke=false")
    assert ("aws", "instance node1") in ended.results("changed")
    assert not instance_of(installed, "node1").source_dest_check


def test_a_host_that_is_lost_is_replaced_and_its_route_follows(installed) -> None:
    """The only host of its zone: its route is a black hole until then."""
    lost = instance_of(installed, "node1")
    installed.cloud.backend.terminate_instances([lost.id])
    installed.terminated(lost.id)
    installed.changed()
    installed.settled()
    assert NODE1 not in installed.router().values()
    ended = installed.aws()
    installed.settled()
    assert ended.code == 0, ended.out[-2000:] + ended.err
    assert {("aws", "instance node1"), ("aws", "route 10.116.0.0/14")} <= set(
        ended.results("changed")
    )
    assert instance_of(installed, "node1").id != lost.id
    assert installed.router()["10.116.0.0/14"] == NODE1
    assert len(ended.of("CheckResult")) > 15
    assert all(check["passed"] for check in ended.of("CheckResult"))


def test_a_host_keys_replacement_is_continued_wherever_it_was_cut(installed) -> None:
    """By calls of AWS; what runs on the host lies between them."""
    platform, cluster = Aws(), installed.cluster
    with patch.dict(os.environ, installed.desk.environment):
        for cut in ("ec2:CreateTags", "ec2:DeleteTags"):
            for when in ("before", "after"):
                _deliver(installed)
                old = _tags(installed)["romana.io/host-key"].split()[1]
                installed.cloud.cut = partial(_cutting, cut, when)
                with pytest.raises(InstallerError):
                    installed.lab.inside(partial(_settle, installed, platform, cluster))
                installed.cloud.cut = lambda *_: ""
                installed.lab.inside(partial(_settle, installed, platform, cluster))
                new = _tags(installed)["romana.io/host-key"]
                assert old not in new
                assert "romana-delivered" not in new
    assert installed.type("romana-install ssh node1 -- true").code == 0


def _cutting(action: str, when: str, number: int, name: str) -> str:
    return when if name == action else ""


def _deliver(region) -> None:
    """As if the host's key were the one that was delivered."""
    key = _tags(region)["romana.io/host-key"].split()
    instance_of(region, "node1").add_tags(
        {"romana.io/host-key": f"{key[0]} {key[1]} romana-delivered"}
    )


def _tags(region) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in instance_of(region, "node1").get_tags()}


def _settle(region, platform: Aws, cluster) -> None:
    from installer.inventory.aws import Aws as Settings
    from installer.platforms.aws.kinds import Scope
    from installer.platforms.aws.survey import instances

    assert isinstance(cluster.section, Settings)
    api = platform.api(cluster)
    found = instances(api, Scope(cluster=cluster.name, settings=cluster.section))
    host = next(host for host in platform.attach(cluster).hosts if host.name == "node1")
    known = cluster.state / "known_hosts"
    node = found.get("instance", "node1")
    assert node is not None
    login.settle(api, node, host, cluster.hosts, region.state / "aws/hosts/node1", known)


def test_destroyed_nothing_is_left(installed) -> None:
    ended = installed.type("romana-install destroy -n aws --yes")
    assert ended.code == 0, ended.out + ended.err
    installed.settled()
    backend = installed.cloud.backend
    assert [vpc.id for vpc in backend.vpcs.values() if not vpc.is_default] == []
    assert (dict(backend.key_pairs), installed.machines, installed.router()) == ({}, {}, {})
    assert not installed.state.exists()


def test_every_command_of_the_page_was_typed(installed) -> None:
    assert installed.desk.page.left() == []
