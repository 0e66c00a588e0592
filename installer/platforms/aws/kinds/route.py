"""Routes of a route table, as objects: their name is table and prefix, their id their target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds.base import Kind, Scope
from installer.platforms.aws.kinds.gateway import GATEWAY
from installer.platforms.aws.records import Found, Record, Ref

DEFAULT = "0.0.0.0/0"
_TARGETS = (
    "NetworkInterfaceId", "GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId", "LocalGatewayId", "CarrierGatewayId", "CoreNetworkArn",
    "InstanceId",
)  # fmt: skip


def reference(table: Ref, prefix: str) -> Ref:
    """A route's reference."""
    return Ref("route", f"{table.name} {prefix}".strip())


def of(tables: Iterable[Found]) -> tuple[Found, ...]:
    """The IPv4 routes of tables, those that are part of the VPC itself excepted."""
    return tuple(
        Found(
            ref=reference(table.ref, raw["DestinationCidrBlock"]),
            id=target(raw),
            owned=table.owned,
            fields={"target": target(raw)},
            details={
                "table": table.id,
                "prefix": raw["DestinationCidrBlock"],
                "blackhole": raw.get("State") == "blackhole",
            },
        )
        for table in tables
        for raw in table.details["routes"]
        if "DestinationCidrBlock" in raw and raw.get("GatewayId") != "local"
    )


def target(raw: Mapping[str, Any]) -> str:
    """Where a route leads."""
    return next((str(raw[key]) for key in _TARGETS if raw.get(key)), "")


def find(api: object, scope: object) -> tuple[Found, ...]:
    """Routes come with their tables: see `of`."""
    return ()


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Set it; one that is there in the meantime is replaced."""
    return (_set(record, "create_route", otherwise=_set(record, "replace_route")),)


def _replace(record: Record, found: Found) -> tuple[Call, ...]:
    return (_set(record, "replace_route"),)


def _set(record: Record, operation: str, otherwise: Call | None = None) -> Call:
    where = record.fields["target"]
    assert isinstance(where, Ref)
    key = "GatewayId" if where == GATEWAY else "NetworkInterfaceId"
    return Call(
        operation=operation,
        arguments={
            "RouteTableId": record.details["table"],
            "DestinationCidrBlock": record.details["prefix"],
            key: where,
        },
        otherwise=(frozenset({"RouteAlreadyExists"}), otherwise) if otherwise else None,
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Remove it."""
    return (
        Call(
            operation="delete_route",
            arguments={
                "RouteTableId": found.details["table"],
                "DestinationCidrBlock": found.details["prefix"],
            },
            done=frozenset({"InvalidRoute.NotFound"}),
        ),
    )


KIND = Kind(name="route", find=find, create=create, delete=delete, change={"target": _replace})
