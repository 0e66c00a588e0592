"""The security group of all hosts. Nothing is open to the world.

Pods come and go under their own addresses: a rule that names the group itself speaks only of hosts'
addresses, so the pod network needs a rule of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds.base import Kind, Scope, specification
from installer.platforms.aws.records import Found, Record, Ref

GROUP = Ref("group", "")
SELF = "self"
_RULE = re.compile(r"(?P<protocol>\S+)( (?P<low>-?\d+)(-(?P<high>-?\d+))?)? from (?P<source>\S+)")


def rules(pods: IPv4Network, sources: Iterable[IPv4Network], api_port: int) -> tuple[str, ...]:
    """What may come in.

    Args:
        pods: the pod network.
        sources: where the operator may come from.
        api_port: of the API server.
    """
    own = [f"tcp {port} from {source}" for source in sources for port in sorted({22, api_port})]
    return tuple(sorted((f"all from {SELF}", f"all from {pods}", *own)))


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's group."""
    answer = api.call("ec2", "describe_security_groups", {"Filters": scope.by_tag})
    return tuple(
        Found(
            ref=GROUP,
            id=raw["GroupId"],
            owned=scope.owns(raw),
            fields={"vpc": raw["VpcId"], "rules": tuple(sorted(_rules(raw)))},
        )
        for raw in answer["SecurityGroups"]
    )


def _rules(raw: Mapping[str, Any]) -> Iterator[str]:
    for permission in raw["IpPermissions"]:
        what = _what(permission)
        for pair in permission.get("UserIdGroupPairs", ()):
            yield f"{what} from {SELF if pair['GroupId'] == raw['GroupId'] else pair['GroupId']}"
        for key, name in (
            ("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"), ("PrefixListIds", "PrefixListId"),
        ):  # fmt: skip
            for item in permission.get(key, ()):
                yield f"{what} from {item[name]}"


def _what(permission: Mapping[str, Any]) -> str:
    if permission["IpProtocol"] == "-1":
        return "all"
    low, high = permission.get("FromPort", -1), permission.get("ToPort", -1)
    return f"{permission['IpProtocol']} {low}" + (f"-{high}" if high != low else "")


def permission(rule: str) -> dict[str, Any]:
    """A rule as EC2 takes it."""
    match = _RULE.fullmatch(rule)
    assert match is not None, rule
    source = match["source"]
    found: dict[str, Any] = {
        "IpProtocol": "-1" if match["protocol"] == "all" else match["protocol"]
    }
    if match["low"] is not None:
        found |= {"FromPort": int(match["low"]), "ToPort": int(match["high"] or match["low"])}
    if source == SELF or source.startswith("sg-"):
        return found | {"UserIdGroupPairs": [{"GroupId": GROUP if source == SELF else source}]}
    if source.startswith("pl-"):
        return found | {"PrefixListIds": [{"PrefixListId": source}]}
    if ":" in source:
        return found | {"Ipv6Ranges": [{"CidrIpv6": source}]}
    return found | {"IpRanges": [{"CidrIp": source}]}


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it, closed, and open what is needed."""
    made = Call(
        operation="create_security_group",
        arguments={
            "GroupName": scope.unique,
            "Description": f"Hosts of the Kubernetes cluster {scope.cluster}",
            "VpcId": record.fields["vpc"],
            "TagSpecifications": specification(scope, record.ref, "security-group"),
        },
        yields=((record.ref, "GroupId"),),
    )
    return (made, _authorized(record.texts("rules")))


def _change(record: Record, found: Found) -> tuple[Call, ...]:
    wanted, had = set(record.texts("rules")), set(found.fields["rules"])
    calls = []
    if missing := tuple(sorted(wanted - had)):
        calls.append(_authorized(missing))
    if surplus := tuple(sorted(had - wanted)):
        calls.append(
            Call(
                operation="revoke_security_group_ingress",
                arguments={"GroupId": GROUP, "IpPermissions": list(map(permission, surplus))},
                done=frozenset({"InvalidPermission.NotFound"}),
            )
        )
    return tuple(calls)


def _authorized(missing: tuple[str, ...]) -> Call:
    return Call(
        operation="authorize_security_group_ingress",
        arguments={"GroupId": GROUP, "IpPermissions": list(map(permission, missing))},
        done=frozenset({"InvalidPermission.Duplicate"}),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Remove it, once no interface bears it."""
    return (Call(operation="delete_security_group", arguments={"GroupId": found.id}),)


KIND = Kind(
    name="group",
    find=find,
    create=create,
    delete=delete,
    change={"rules": _change},
    fixed={"vpc": "destroy the cluster and make it again"},
)
