"""Subnets, one in each zone: a segment, inside which hosts reach each other without the VPC's
routes."""

from __future__ import annotations

from installer.errors import PlatformError
from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.errors import CloudError, is_absence
from installer.platforms.aws.kinds.base import Kind, Scope, specification
from installer.platforms.aws.records import Found, Record, Ref

_ADVICE = "put it back, or destroy the cluster and make it again"


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's subnets, by zone: by id where the inventory names them, else by tag.

    Raises:
        PlatformError: one of them does not exist.
    """
    ids = [subnet.id for subnet in scope.settings.subnets if subnet.id]
    which = {"SubnetIds": ids} if ids else {"Filters": scope.by_tag}
    try:
        answer = api.call("ec2", "describe_subnets", which)
    except CloudError as error:
        if not is_absence(error.code):
            raise
        raise PlatformError(
            f"aws: {' '.join(error.text.split())}", "correct aws.subnets in the inventory"
        ) from error
    zones = {subnet.id: subnet.zone for subnet in scope.settings.subnets if subnet.id}
    return tuple(
        Found(
            ref=Ref("subnet", zones.get(raw["SubnetId"], raw["AvailabilityZone"])),
            id=raw["SubnetId"],
            owned=scope.owns(raw) and not ids,
            fields={
                "vpc": raw["VpcId"],
                "cidr": raw["CidrBlock"],
                "zone": raw["AvailabilityZone"],
            },
        )
        for raw in answer["Subnets"]
    )


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it."""
    return (
        Call(
            operation="create_subnet",
            arguments={
                "VpcId": record.fields["vpc"],
                "CidrBlock": record.fields["cidr"],
                "AvailabilityZone": record.fields["zone"],
                "TagSpecifications": specification(scope, record.ref, "subnet"),
            },
            yields=((record.ref, "Subnet.SubnetId"),),
        ),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Remove it, once no interface is in it."""
    return (Call(operation="delete_subnet", arguments={"SubnetId": found.id}),)


KIND = Kind(
    name="subnet",
    find=find,
    create=create,
    delete=delete,
    fixed={"cidr": _ADVICE, "zone": _ADVICE, "vpc": _ADVICE},
)
