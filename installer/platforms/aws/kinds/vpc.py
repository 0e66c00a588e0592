"""The VPC: ours, or one that exists."""

from __future__ import annotations

from installer.errors import PlatformError
from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.errors import CloudError, is_absence
from installer.platforms.aws.kinds.base import Kind, Scope, specification
from installer.platforms.aws.records import Found, Record, Ref

VPC = Ref("vpc", "")


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's VPC: by its id where the inventory names one, else by tag.

    Raises:
        PlatformError: there is none of that id.
    """
    wanted = scope.settings.vpc
    which = {"VpcIds": [wanted]} if wanted else {"Filters": scope.by_tag}
    try:
        answer = api.call("ec2", "describe_vpcs", which)
    except CloudError as error:
        if not is_absence(error.code):
            raise
        raise PlatformError(
            f"aws: there is no VPC {wanted} in {scope.settings.region}",
            "correct aws.vpc, or drop it to have one made",
        ) from error
    return tuple(
        Found(
            ref=VPC,
            id=raw["VpcId"],
            owned=scope.owns(raw),
            fields={"cidr": raw["CidrBlock"]},
        )
        for raw in answer["Vpcs"]
    )


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it."""
    return (
        Call(
            operation="create_vpc",
            arguments={
                "CidrBlock": record.fields["cidr"],
                "TagSpecifications": specification(scope, record.ref, "vpc"),
            },
            yields=((record.ref, "Vpc.VpcId"),),
        ),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Remove it, once nothing is in it."""
    return (Call(operation="delete_vpc", arguments={"VpcId": found.id}),)


KIND = Kind(
    name="vpc",
    find=find,
    create=create,
    delete=delete,
    fixed={"cidr": "put network.hosts back, or destroy the cluster and make it again"},
)
