"""Route tables: one of ours for all of our subnets; those that subnets of others use already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds.base import Kind, Scope, specification
from installer.platforms.aws.records import Found, Record, Ref

TABLE = Ref("table", "")


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """Ours by tag; of others, those that the named subnets use, by their own id: a subnet without
    one uses the VPC's main table."""
    subnets = [subnet.id for subnet in scope.settings.subnets if subnet.id]
    if not subnets:
        answer = api.call("ec2", "describe_route_tables", {"Filters": scope.by_tag})
        return tuple(_found(raw, TABLE, scope.owns(raw)) for raw in answer["RouteTables"])
    here = [{"Name": "vpc-id", "Values": [scope.settings.vpc]}]
    tables = api.call("ec2", "describe_route_tables", {"Filters": here})["RouteTables"]
    used = {subnet: table for table in tables for subnet in _subnets(table)}
    main = [table for table in tables if any(each.get("Main") for each in table["Associations"])]
    chosen = [used.get(subnet, main[0] if main else None) for subnet in subnets]
    named = {table["RouteTableId"]: table for table in chosen if table is not None}
    return tuple(_found(raw, Ref("table", name), owned=False) for name, raw in named.items())


def _found(raw: Mapping[str, Any], ref: Ref, owned: bool) -> Found:
    associations = {
        each["SubnetId"]: each["RouteTableAssociationId"]
        for each in raw["Associations"]
        if "SubnetId" in each
    }
    return Found(
        ref=ref,
        id=raw["RouteTableId"],
        owned=owned,
        fields={"vpc": raw["VpcId"], "subnets": tuple(sorted(associations))},
        details={"routes": raw["Routes"], "associations": associations},
    )


def _subnets(raw: Mapping[str, Any]) -> list[str]:
    return [each["SubnetId"] for each in raw["Associations"] if "SubnetId" in each]


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it, and have the subnets use it."""
    made = Call(
        operation="create_route_table",
        arguments={
            "VpcId": record.fields["vpc"],
            "TagSpecifications": specification(scope, record.ref, "route-table"),
        },
        yields=((record.ref, "RouteTable.RouteTableId"),),
    )
    return (made, *(_associated(record.ref, subnet) for subnet in record.many("subnets")))


def _associate(record: Record, found: Found) -> tuple[Call, ...]:
    """The subnets that do not use it yet; one that does already answers so."""
    return tuple(_associated(record.ref, subnet) for subnet in record.many("subnets"))


def _associated(table: Ref, subnet: str | Ref) -> Call:
    return Call(
        operation="associate_route_table",
        arguments={"RouteTableId": table, "SubnetId": subnet},
        done=frozenset({"Resource.AlreadyAssociated"}),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Have no subnet use it, and remove it with its routes."""
    apart = tuple(
        Call(operation="disassociate_route_table", arguments={"AssociationId": association})
        for association in found.details["associations"].values()
    )
    gone = Call(operation="delete_route_table", arguments={"RouteTableId": found.id})
    return (*apart, gone)


KIND = Kind(
    name="table",
    find=find,
    create=create,
    delete=delete,
    change={"subnets": _associate},
    fixed={"vpc": "destroy the cluster and make it again"},
)
