"""The section `aws` of an inventory: the example as it is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.errors import InventoryError
from installer.inventory import Request, load
from installer.inventory.aws import Aws

ROOT = Path(__file__).parents[4]


def request(clusters: Path, **more) -> Request:
    return Request(platform="aws", clusters=clusters, **more)


def refused(path: Path, text: str) -> str:
    (path / "aws.yml").write_text(text)
    with pytest.raises(InventoryError) as caught:
        load(path / "aws.yml", request(path))
    return "\n".join(map(str, caught.value.problems))


def test_the_example_works_as_it_is(tmp_path: Path) -> None:
    cluster = load(ROOT / "inventories/aws.yml", request(tmp_path)).cluster
    places = [(host.name, str(host.address), host.zone) for host in cluster.hosts]
    assert places == [
        ("controller", "10.0.0.10", "eu-central-1a"),
        ("node1", "10.0.64.10", "eu-central-1b"),
        ("node2", "10.0.0.11", "eu-central-1a"),
    ]
    assert all(host.segment == host.zone for host in cluster.hosts)
    assert cluster.zones == ("eu-central-1a", "eu-central-1b", "reserve-3", "reserve-4")
    assert isinstance(cluster.section, Aws)


def test_another_zone_moves_no_subnet(tmp_path: Path) -> None:
    file = ROOT / "inventories/aws.yml"
    whole = load(file, request(tmp_path)).cluster
    two = whole.section
    more = ("aws.zones=[eu-central-1a, eu-central-1b, eu-central-1c]",)
    grown = load(file, request(tmp_path, settings=more)).cluster
    three = grown.section
    assert grown.share("eu-central-1b") == whole.share("eu-central-1b")
    assert isinstance(two, Aws)
    assert isinstance(three, Aws)
    assert three.subnets[:2] == two.subnets


SOUND = """\
cluster: {name: x}
network: {pods: 10.112.0.0/12, services: 10.96.0.0/16, hosts: 10.0.0.0/16}
aws:
  region: eu-central-1
  AWS
hosts: {one: {address: ADDRESS}}
groups: {controller: [one], nodes: [one]}
"""


@pytest.mark.parametrize(
    ("aws", "address", "words"),
    [
        ("ssh_from: [0.0.0.0/0]", "10.0.0.10", "would open SSH and the API to the world"),
        ("vpc: vpc-1", "10.0.0.10", "a VPC that exists needs subnets"),
        ("zones: [us-east-1a]", "10.0.0.10", "zone us-east-1a is not in region eu-central-1"),
        ("image: ubuntu-12.04", "10.0.0.10", "one of ubuntu-14.04"),
        ("image: ubuntu-24.04", "10.0.0.3", "AWS keeps 10.0.0.3"),
        ("image: ubuntu-24.04", "10.0.200.3", "is in no subnet (subnets are 10.0.0.0/18)"),
        ("policies: [admin]", "10.0.0.10", "is not a policy's ARN"),
        ("zones: []", "10.0.0.10", "should name zones"),
        ("subnets: {eu-central-1a: {id: subnet-1, cidr: 10.0.0.0/24}}", "10.0.0.10", "need vpc"),
        ("subnets: {eu-central-1a: 10.1.0.0/24}", "10.1.0.10", "is not in network.hosts"),
        (
            "subnets: {eu-central-1a: 10.0.0.0/24, eu-central-1b: 10.0.0.0/25}",
            "10.0.0.10",
            "overlaps",
        ),
    ],
)
def test_what_does_not_go_is_refused(tmp_path: Path, aws: str, address: str, words: str) -> None:
    assert words in refused(tmp_path, SOUND.replace("AWS", aws).replace("ADDRESS", address))


def test_a_zones_part_of_the_pod_network_holds_its_hosts(tmp_path: Path) -> None:
    small = ("network.pods=10.112.0.0/23",)
    assert load(ROOT / "inventories/aws.yml", request(tmp_path, settings=small, nodes=1)).cluster
    with pytest.raises(InventoryError) as caught:
        load(ROOT / "inventories/aws.yml", request(tmp_path, settings=small))
    assert str(caught.value.problems[0].what) == (
        "network.pods: 10.112.0.0/23 shared out over 4 zones leaves 1 blocks of /25 for each, too "
        "few for the 2 hosts of eu-central-1a"
    )


def test_another_platforms_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(SOUND.replace("AWS", "").replace("ADDRESS", "10.0.0.10"))
    with pytest.raises(InventoryError) as caught:
        load(tmp_path / "x.yml", Request(platform="static", clusters=tmp_path))
    assert "is for another platform" in str(caught.value.problems[0])
