"""From nothing to a VPC with instances and back, against moto's server."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.errors import PlatformError
from installer.events import Notice, ResourceResult
from installer.platforms.aws.api import Pace


class Heard(list):
    """Events."""

    @property
    def emit(self):
        return self.append

    @property
    def changed(self) -> list[str]:
        return [event.resource for event in self if isinstance(event, ResourceResult)]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self if isinstance(event, Notice)]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def plain(lines: tuple[str, ...]) -> list[str]:
    """The plan without diffs, and without what is left to do by SSH."""
    return [line.split("\n")[0] for line in lines if not line.startswith("verify")]


def named(instance) -> str:
    return next(tag["value"] for tag in instance.get_tags() if tag["key"] == "romana.io/name")


def instances(cloud) -> dict[str, object]:
    """Those that run, by the name of their host."""
    return {named(instance): instance for instance in running(cloud)}


def running(cloud) -> list:
    return [
        instance
        for reservation in cloud.backend.reservations.values()
        for instance in reservation.instances
        if instance.state == "running"
    ]


def owned(cloud) -> list[str]:
    """Everything that bears the tag, as moto knows it, and does not end."""
    backend = cloud.backend
    groups = [group for groups in backend.groups.values() for group in groups.values()]
    subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
    things = [
        *backend.vpcs.values(), *subnets, *backend.internet_gateways.values(), *groups,
        *backend.route_tables.values(), *backend.volumes.values(), *running(cloud),
    ]  # fmt: skip
    tagged = [
        thing.id
        for thing in things
        if any(tag["key"].startswith("kubernetes.io/cluster/") for tag in thing.get_tags())
    ]
    return [*tagged, *backend.key_pairs]


def test_a_plan_makes_nothing(cloud, cluster, aws) -> None:
    lines = plain(aws().plan(cluster()))
    assert cloud.changes == 0
    assert lines[:3] == [
        "create vpc: 10.0.0.0/16",
        "create subnet eu-central-1a: 10.0.0.0/18",
        "create subnet eu-central-1b: 10.0.64.0/18",
    ]
    assert (
        "create instance node1: node, t3.medium, ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-"
        "amd64-server-20250115, 10.0.64.10 in eu-central-1b, 20 GiB encrypted"
    ) in lines
    assert lines[-1].startswith("pay about $0.17 an hour, $122 a month")
    assert not Path(cluster().state).exists()


def test_what_is_made_is_as_wanted(cloud, cluster, aws, heard) -> None:
    made = aws().provision(cluster(), heard.emit)
    node = instances(cloud)["node1"]
    nic = next(iter(node.nics.values()))
    assert node.private_ip == "10.0.64.10"
    assert not node.source_dest_check
    assert node.metadata_options.http_tokens == "required"
    assert all(volume.encrypted for volume in cloud.backend.volumes.values())
    assert [group.name for group in nic.group_set] == ["romana-aws"]
    assert {host.name: host.ssh.address for host in made.hosts}["node1"] == node.public_ip
    assert {host.ssh.user for host in made.hosts} == {"ubuntu"}
    assert heard.changed[0] == "vpc"


def test_nothing_is_open_to_the_world(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    group = instances(cloud)["node1"].nics[0].group_set[0]
    sources = {
        (rule.from_port, source["CidrIp"])
        for rule in group.ingress_rules
        if (source := rule.ip_range)
    }
    assert sources == {
        (None, "10.112.0.0/12"), (22, "192.0.2.7/32"), (6443, "192.0.2.7/32"),
    }  # fmt: skip


def test_again_there_is_nothing_to_do(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    before = cloud.changes
    again = aws()
    assert plain(again.plan(cluster())) == []
    heard.clear()
    again.provision(cluster(), heard.emit)
    assert heard.changed == []
    assert cloud.changes == before


def test_routes_lead_to_each_host(cloud, cluster, aws, heard) -> None:
    made = aws().provision(cluster(nodes=4), heard.emit)
    found = routes(cloud)
    nics = {name: each.nics[0].id for name, each in instances(cloud).items()}
    assert found == {
        "0.0.0.0/0": next(iter(cloud.backend.internet_gateways)),
        "10.112.0.0/14": nics["controller"],
        "10.113.0.0/16": nics["node2"],
        "10.114.0.0/16": nics["node4"],
        "10.116.0.0/14": nics["node1"],
        "10.118.0.0/15": nics["node3"],
    }
    assert [str(host.near) for host in made.hosts] == [
        "10.112.0.0/16", "10.116.0.0/15", "10.113.0.0/16", "10.118.0.0/15", "10.114.0.0/16",
    ]  # fmt: skip


def own_table(cloud):
    """The route table that is ours."""
    return next(table for table in cloud.backend.route_tables.values() if table.get_tags())


def routes(cloud) -> dict[str, str]:
    """Of the table that is ours."""
    table = own_table(cloud)
    return {
        route.destination_cidr_block: (route.gateway or route.interface).id
        for route in table.routes
        if not route.local
    }


def test_one_zone_needs_no_routes_for_pods(cloud, cluster, aws, heard) -> None:
    made = aws().provision(cluster("aws.zones=[eu-central-1a]"), heard.emit)
    assert list(routes(cloud)) == ["0.0.0.0/0"]
    assert {host.near for host in made.hosts} == {None}
    assert "servicequotas:GetServiceQuota" not in cloud.calls


def test_where_the_quota_is_small_zones_are_routed_as_wholes(cloud, cluster, aws, heard) -> None:
    cloud.quota = 4
    aws().provision(cluster(nodes=4), heard.emit)
    assert sorted(routes(cloud)) == ["0.0.0.0/0", "10.112.0.0/14", "10.116.0.0/14"]


def test_where_the_quota_is_smaller_nothing_is_made(cloud, cluster, aws) -> None:
    cloud.quota = 2
    with pytest.raises(PlatformError, match=r"need 3 routes, and the quota is 2 .*a host: 6"):
        aws().plan(cluster(nodes=4))
    assert cloud.changes == 0


def test_a_lost_instance_comes_back_and_its_route_follows(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    old = instances(cloud)["node1"]
    nic = old.nics[0].id
    cloud.backend.terminate_instances([old.id])
    assert routes(cloud)["10.116.0.0/14"] == nic
    lines = plain(aws().plan(cluster()))
    assert lines[1] == f"change route 10.116.0.0/14: target {nic} -> interface node1"
    aws().provision(cluster(), heard.emit)
    new = instances(cloud)["node1"]
    assert new.id != old.id
    assert routes(cloud)["10.116.0.0/14"] == new.nics[0].id


def test_a_zones_route_stays_with_the_host_that_it_leads_to(cloud, cluster, aws, heard) -> None:
    cloud.quota = 4
    aws().provision(cluster(nodes=4), heard.emit)
    table = own_table(cloud)
    other = instances(cloud)["node3"].nics[0].id
    cloud.backend.replace_route(table.id, "10.116.0.0/14", interface_id=other)
    assert plain(aws().plan(cluster(nodes=4))) == []


def test_black_holes_are_swept_and_foreign_routes_kept(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    table = own_table(cloud)
    gone = cloud.backend.create_network_interface(
        next(iter(instances(cloud).values())).subnet_id, "10.0.0.99"
    )
    gateway = next(iter(cloud.backend.internet_gateways))
    cloud.backend.create_route(table.id, "10.113.0.0/16", None, interface_id=gone.id)
    cloud.backend.create_route(table.id, "192.0.2.0/24", None, interface_id=gone.id)
    cloud.backend.create_route(table.id, "10.114.0.0/16", None, gateway_id=gateway)
    del cloud.backend.enis[gone.id]
    assert plain(aws().plan(cluster())) == ["delete route 10.113.0.0/16"]
    aws().provision(cluster(), heard.emit)
    assert "10.113.0.0/16" not in routes(cloud)
    assert {"192.0.2.0/24", "10.114.0.0/16"} < set(routes(cloud))
    assert f"route 10.114.0.0/16 leads to {gateway}, which is not of this cluster; kept" in (
        heard.notices
    )


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (
            lambda cloud: setattr(instances(cloud)["node1"], "source_dest_check", True),
            "change instance node1: source_dest_check on -> off",
        ),
        (
            lambda cloud: cloud.backend.stop_instances([instances(cloud)["node1"].id]),
            "change instance node1: state stopped -> running",
        ),
        (
            lambda cloud: setattr(
                instances(cloud)["node1"].metadata_options, "http_tokens", "optional"
            ),
            "change instance node1: imds optional -> required",
        ),
        (
            lambda cloud: cloud.backend.authorize_security_group_ingress(
                security_rule_ids=None,
                group_name_or_id=instances(cloud)["node1"].nics[0].group_set[0].id,
                ip_protocol="tcp", from_port="80", to_port="80",
                ip_ranges=[{"CidrIp": "0.0.0.0/0"}],
            ),
            "change group: rules all from 10.112.0.0/12, all from self, tcp 22 from 192.0.2.7/32, "
            "tcp 6443 from 192.0.2.7/32, tcp 80 from 0.0.0.0/0 -> all from 10.112.0.0/12, "
            "all from self, tcp 22 from 192.0.2.7/32, tcp 6443 from 192.0.2.7/32",
        ),
        (
            lambda cloud: cloud.backend.detach_internet_gateway(
                next(iter(cloud.backend.internet_gateways)), instances(cloud)["node1"].vpc_id
            ),
            "change gateway: vpc none -> vpc",
        ),
        (
            lambda cloud: cloud.backend.disassociate_route_table(
                next(iter(own_table(cloud)._associations))
            ),
            "change table: subnets subnet eu-central-1b -> subnet eu-central-1a, "
            "subnet eu-central-1b",
        ),
    ],
    ids=["check on", "stopped", "old metadata", "open port", "gateway off", "table off"],
)  # fmt: skip
def test_damage_is_seen_and_mended(cloud, cluster, aws, heard, damage, line) -> None:
    aws().provision(cluster(), heard.emit)
    damage(cloud)
    assert plain(aws().plan(cluster())) == [line]
    aws().provision(cluster(), heard.emit)
    assert plain(aws().plan(cluster())) == []


def test_policies_of_the_role_come_and_go(cloud, cluster, aws, heard) -> None:
    policy = made_policy(cloud)
    with_it = cluster(f"aws.policies=['{policy}']")
    aws().provision(with_it, heard.emit)
    assert plain(aws().plan(cluster())) == [f"change role: policies {policy} -> none"]
    aws().provision(cluster(), heard.emit)
    aws().provision(with_it, heard.emit)
    aws().destroy(with_it, heard.emit)
    assert owned(cloud) == []


def made_policy(cloud) -> str:
    from moto.iam import iam_backends

    statement = '{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}'
    document = f'{{"Version":"2012-10-17","Statement":[{statement}]}}'
    backend = iam_backends["123456789012"]["aws"]
    return str(backend.create_policy("", "/", document, "pull", {}).arn)


def test_another_node_is_only_that(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    lines = plain(aws().plan(cluster(nodes=3)))
    assert [line.split(":")[0] for line in lines] == [
        "create instance node3",
        "create route 10.118.0.0/15",
        "pay about $0.06 an hour, $41 a month, without traffic and tax (list prices of 2025-06)",
        "pay for the whole cluster about $0.22 an hour, $162 a month, without traffic and tax "
        "(list prices of 2025-06)",
    ]


def test_a_host_that_is_not_wanted_any_more_is_told(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(nodes=3), heard.emit)
    aws().provision(cluster(nodes=2), heard.emit)
    assert any("host node3 (i-" in text and "paid for" in text for text in heard.notices)
    assert "node3" in instances(cloud)


def test_what_cannot_be_changed_is_said(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    with pytest.raises(PlatformError) as caught:
        aws().plan(cluster("vars.instance_type=m5.large", "network.hosts=10.0.0.0/17"))
    assert "has type t3.medium, not m5.large: put instance_type back" in caught.value.message
    assert "has cidr 10.0.0.0/16, not 10.0.0.0/17" in caught.value.message


def test_destroying_leaves_nothing(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    assert len(owned(cloud)) == 13
    cloud.ending = 2
    aws().destroy(cluster(), heard.emit)
    assert owned(cloud) == []
    assert heard.notices[-1] == "aws: 15 objects of aws removed, none is left"
    before = cloud.changes
    aws().destroy(cluster(), heard.emit)
    assert cloud.changes == before


def test_of_another_cluster_nothing_is_touched(cloud, cluster, aws, heard) -> None:
    aws().provision(cluster(), heard.emit)
    other = cluster("cluster.name=other")
    aws().provision(other, heard.emit)
    assert len(owned(cloud)) == 26
    aws().destroy(other, heard.emit)
    assert len(owned(cloud)) == 13
    assert plain(aws().plan(cluster())) == []


def test_what_is_left_is_named(cloud, cluster, aws, heard) -> None:
    hasty = Pace(first_s=0.001, longest_s=0.01, released_s=0.2, visible_s=1, running_s=1)
    platform = aws(hasty)
    platform.provision(cluster(), heard.emit)
    stranger = cloud.backend.create_security_group("theirs", "x", instances(cloud)["node1"].vpc_id)
    with pytest.raises(PlatformError, match=r"1 objects of aws are left: vpc vpc-\w+ \(.*sg-"):
        platform.destroy(cluster(), heard.emit)
    cloud.backend.delete_security_group(group_id=stranger.id)
    platform.destroy(cluster(), heard.emit)
    assert owned(cloud) == []
