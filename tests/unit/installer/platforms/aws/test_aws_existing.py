"""A VPC that exists: used, and nothing of it changed but routes, where that is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from installer.cluster import Cluster
from installer.errors import PlatformError

ALLOWED = "aws.change_routes=true"


def silent(event: object) -> None:
    pass


@pytest.fixture
def theirs(cloud, cluster) -> Callable[..., Cluster]:
    """A cluster in a VPC of somebody else's, whose second subnet has a route table of its own."""
    backend = cloud.backend
    vpc = backend.create_vpc("10.0.0.0/16")
    one = backend.create_subnet(vpc.id, "10.0.1.0/24", availability_zone="eu-central-1a")
    two = backend.create_subnet(vpc.id, "10.0.2.0/24", availability_zone="eu-central-1b")
    table = backend.create_route_table(vpc.id)
    backend.associate_route_table(table.id, None, two.id)
    subnets = (
        f"{{eu-central-1a: {{id: {one.id}, cidr: 10.0.1.0/24}}, "
        f"eu-central-1b: {{id: {two.id}, cidr: 10.0.2.0/24}}}}"
    )
    cloud.their_vpc, cloud.their_subnets = vpc.id, (one.id, two.id)
    named = (f"aws.vpc={vpc.id}", f"aws.subnets={subnets}")

    def make(*settings: str) -> Cluster:
        return cluster(*named, *settings, nodes=3, drop=("aws.zones",))

    return make


def pod_routes(cloud) -> dict[str, set[str]]:
    """Prefixes into the pod network, by the table that they are in: "main", or "own"."""
    return {
        "main" if table.main_association_id else "own": {
            route.destination_cidr_block
            for route in table.routes
            if route.destination_cidr_block.startswith("10.1")
        }
        for table in cloud.backend.route_tables.values()
        if table.vpc_id == cloud.their_vpc
    }


def test_without_leave_the_missing_routes_are_told_and_nothing_is_made(cloud, theirs, aws) -> None:
    with pytest.raises(PlatformError) as caught:
        aws().plan(theirs())
    assert caught.value.message.startswith(
        "aws: 4 routes are needed in route tables that are not ours: route rtb-"
    )
    assert "10.116.0.0/14 -> interface node1" in caught.value.message
    assert "aws.change_routes: true" in caught.value.advice
    assert cloud.changes == 0


def test_with_leave_each_table_gets_the_other_zones_prefixes(cloud, theirs, aws) -> None:
    aws().provision(theirs(ALLOWED), silent)
    # The main table serves zone a, which needs the ways into zone b, and the other way round.
    assert pod_routes(cloud) == {
        "main": {"10.116.0.0/14", "10.118.0.0/15"},
        "own": {"10.112.0.0/14", "10.114.0.0/15"},
    }
    assert {each.split(":")[1] for each in cloud.calls if ":Create" in each} == {
        "CreateSecurityGroup", "CreateRole", "CreateInstanceProfile", "CreateRoute",
    }  # fmt: skip
    assert [line for line in aws().plan(theirs(ALLOWED)) if not line.startswith("verify")] == []


def test_destroying_leaves_what_is_theirs(cloud, theirs, aws) -> None:
    aws().provision(theirs(ALLOWED), silent)
    aws().destroy(theirs(ALLOWED), silent)
    assert pod_routes(cloud) == {"main": set(), "own": set()}
    assert cloud.their_vpc in cloud.backend.vpcs
    there = {name for zone in cloud.backend.subnets.values() for name in zone}
    assert set(cloud.their_subnets) <= there
    assert cloud.backend.key_pairs == {}


def test_a_subnet_that_is_another_is_told(cloud, theirs, aws) -> None:
    one, two = cloud.their_subnets
    wrong = f"aws.subnets={{eu-central-1a: {{id: {two}, cidr: 10.0.1.0/24}}}}"
    with pytest.raises(PlatformError, match=r"has cidr 10.0.2.0/24, not 10.0.1.0/24: it is not ou"):
        aws().plan(theirs(wrong))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("aws.vpc=vpc-0123", "there is no VPC vpc-0123 in eu-central-1"),
        (
            "aws.subnets={eu-central-1a: {id: subnet-0123, cidr: 10.0.1.0/24}}",
            "The subnet ID 'subnet-0123' does not exist",
        ),
    ],
)
def test_what_does_not_exist_is_told(cloud, theirs, aws, setting: str, says: str) -> None:
    with pytest.raises(PlatformError, match=says):
        aws().plan(theirs(setting))


def test_a_vpc_that_is_tagged_as_shared_is_found_and_stays(cloud, theirs, aws) -> None:
    tag = {"kubernetes.io/cluster/aws": "shared"}
    for id_ in (cloud.their_vpc, *cloud.their_subnets):
        cloud.backend.create_tags([id_], tag)
    aws().provision(theirs(ALLOWED), silent)
    heard: list = []
    aws().destroy(theirs(ALLOWED), heard.append)
    assert cloud.their_vpc in cloud.backend.vpcs
    told = [event.text for event in heard if hasattr(event, "text")]
    assert f"aws: vpc {cloud.their_vpc} is not ours and was left as it is" in told
