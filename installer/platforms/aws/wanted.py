"""All objects of a cluster, each after those that it refers to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from installer.cluster import Cluster, Host
from installer.inventory.aws import Aws
from installer.platforms.aws import routes
from installer.platforms.aws.identities import Identity
from installer.platforms.aws.images import Image
from installer.platforms.aws.kinds import group, role, route
from installer.platforms.aws.kinds.gateway import GATEWAY
from installer.platforms.aws.kinds.group import GROUP
from installer.platforms.aws.kinds.key import KEY
from installer.platforms.aws.kinds.table import TABLE
from installer.platforms.aws.kinds.vpc import VPC
from installer.platforms.aws.records import Record, Ref, Seen

DEFAULT_TYPE = "t3.medium"
NOTHING = Identity(nonce="", host_key="", user_data="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is known beside inventory and cloud.

    Args:
        public_key: of the key that logs in.
        sources: where the operator may come from.
        quota: routes that a route table may have.
        images: for new instances, by architecture.
        identities: of hosts that are about to be launched.
    """

    public_key: str
    sources: tuple[IPv4Network, ...]
    quota: int
    images: Mapping[str, Image] = field(default_factory=dict)
    identities: Mapping[str, Identity] = field(default_factory=dict)


def instance_type(host: Host) -> str:
    """Of a host."""
    return host.instance_type or DEFAULT_TYPE


def wanted(cluster: Cluster, settings: Aws, seen: Seen, given: Given) -> tuple[Record, ...]:
    """The records.

    Raises:
        PlatformError: the routes do not fit into the quota.
    """
    tables = tables_of(settings, seen, cluster)
    plan = routes.plan(
        cluster, tables, given.quota, mode=settings.routes, current=routes.leading(seen)
    )
    return (
        *_places(cluster, settings),
        *_access(cluster, settings, given),
        *(_instance(host, settings, given) for host in cluster.hosts),
        *([] if settings.vpc else [_default_route()]),
        *routes.records(plan, tables),
    )


def _places(cluster: Cluster, settings: Aws) -> Iterator[Record]:
    if settings.vpc:
        yield Record(ref=VPC, fields={})
    else:
        yield Record(ref=VPC, fields={"cidr": str(cluster.network.hosts)})
    subnets = tuple(Ref("subnet", subnet.zone) for subnet in settings.subnets)
    for subnet, ref in zip(settings.subnets, subnets, strict=True):
        yield Record(ref=ref, fields={"vpc": VPC, "cidr": str(subnet.network), "zone": subnet.zone})
    if not settings.vpc:
        yield Record(ref=GATEWAY, fields={"vpc": VPC})
        yield Record(ref=TABLE, fields={"vpc": VPC, "subnets": subnets})


def _access(cluster: Cluster, settings: Aws, given: Given) -> Iterator[Record]:
    rules = group.rules(cluster.network.pods, given.sources, cluster.api_port)
    yield Record(ref=GROUP, fields={"vpc": VPC, "rules": rules})
    yield Record(ref=KEY, fields={"public": given.public_key})
    yield Record(ref=role.ROLE, fields={"policies": tuple(sorted(settings.policies))})
    yield Record(ref=role.PROFILE, fields={"role": role.ROLE})


def _instance(host: Host, settings: Aws, given: Given) -> Record:
    type_ = instance_type(host)
    identity = given.identities.get(host.name, NOTHING)
    image = next(iter(given.images.values()), None)
    return Record(
        ref=Ref("instance", host.name),
        fields={
            "state": "running",
            "type": type_,
            "address": str(host.address),
            "subnet": Ref("subnet", host.zone),
            "groups": (GROUP,),
            "source_dest_check": "off",
            "imds": "required",
        },
        details={
            "image": image.id if image else "",
            "root_device": image.root_device if image else "",
            "disk_gb": max(host.disk_gb, image.root_gb if image else 0),
            "public": settings.access == "public",
            "nonce": identity.nonce,
            "host_key": identity.host_key,
            "user_data": identity.user_data,
        },
    )


def _default_route() -> Record:
    return Record(
        ref=route.reference(TABLE, route.DEFAULT),
        fields={"target": GATEWAY},
        details={"table": TABLE, "prefix": route.DEFAULT},
    )


def tables_of(settings: Aws, seen: Seen, cluster: Cluster) -> Sequence[routes.Table]:
    """The route tables that the cluster's subnets use, and how many routes of others they have."""
    zones = {subnet.zone for subnet in settings.subnets}
    if not settings.vpc:
        return (
            routes.Table(ref=TABLE, zones=frozenset(zones), others=_others(seen, TABLE, cluster)),
        )
    found = []
    named = {subnet.id: subnet.zone for subnet in settings.subnets}
    explicit = {id_ for table in seen.of("table") for id_ in table.fields["subnets"]}
    for table in seen.of("table"):
        using = {named[id_] for id_ in table.fields["subnets"] if id_ in named}
        if not using:  # the VPC's main table: of those that have no other
            using = {zone for id_, zone in named.items() if id_ not in explicit}
        found.append(
            routes.Table(
                ref=table.ref,
                zones=frozenset(using),
                others=_others(seen, table.ref, cluster),
            )
        )
    return tuple(found)


def _others(seen: Seen, table: Ref, cluster: Cluster) -> int:
    """Routes that are there and stay: not for pods. Our default route is counted before it is
    there."""
    there = [
        each
        for each in seen.of("route")
        if each.details["table"] == seen.ids.get(table)
        and not routes.within(each, cluster.network.pods)
        and each.details["prefix"] != route.DEFAULT
    ]
    return len(there) + 1
