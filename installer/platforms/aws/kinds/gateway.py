"""The internet gateway of a VPC that is ours."""

from __future__ import annotations

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds.base import Kind, Scope, specification
from installer.platforms.aws.records import Found, Record, Ref

GATEWAY = Ref("gateway", "")


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's gateway."""
    answer = api.call("ec2", "describe_internet_gateways", {"Filters": scope.by_tag})
    return tuple(
        Found(
            ref=GATEWAY,
            id=raw["InternetGatewayId"],
            owned=scope.owns(raw),
            fields={"vpc": next((each["VpcId"] for each in raw["Attachments"]), "")},
        )
        for raw in answer["InternetGateways"]
    )


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it and attach it."""
    made = Call(
        operation="create_internet_gateway",
        arguments={"TagSpecifications": specification(scope, record.ref, "internet-gateway")},
        yields=((record.ref, "InternetGateway.InternetGatewayId"),),
    )
    return (made, _attached(record))


def _attach(record: Record, found: Found) -> tuple[Call, ...]:
    return (_attached(record),)


def _attached(record: Record) -> Call:
    return Call(
        operation="attach_internet_gateway",
        arguments={"InternetGatewayId": record.ref, "VpcId": record.fields["vpc"]},
        done=frozenset({"Resource.AlreadyAssociated"}),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Detach it and remove it. Detaching fails while the VPC has public addresses."""
    where = found.fields["vpc"]
    detach = Call(
        operation="detach_internet_gateway",
        arguments={"InternetGatewayId": found.id, "VpcId": where},
        done=frozenset({"Gateway.NotAttached"}),
    )
    gone = Call(operation="delete_internet_gateway", arguments={"InternetGatewayId": found.id})
    return (detach, gone) if where else (gone,)


KIND = Kind(name="gateway", find=find, create=create, delete=delete, change={"vpc": _attach})
