"""The IAM role of the hosts, and the instance profile that hands it to them.

Nothing that we install calls AWS, so the role allows nothing; the inventory may name policies.
"""

from __future__ import annotations

import json
from typing import Any

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.errors import CloudError, is_absence
from installer.platforms.aws.kinds.base import Kind, Scope
from installer.platforms.aws.records import Found, Record, Ref, tags

ROLE, PROFILE = Ref("role", ""), Ref("profile", "")
_THERE = frozenset({"EntityAlreadyExists"})
_GONE = frozenset({"NoSuchEntity"})
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def name(scope: Scope) -> str:
    """Roles are the account's, whatever the region."""
    return f"{scope.unique}-{scope.settings.region}"


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's role."""
    raw = _get(api, "get_role", {"RoleName": name(scope)}, "Role")
    if raw is None:
        return ()
    try:
        attached = api.call("iam", "list_attached_role_policies", {"RoleName": name(scope)})
    except CloudError as error:
        if is_absence(error.code):
            return ()
        raise
    policies = tuple(sorted(each["PolicyArn"] for each in attached["AttachedPolicies"]))
    return (
        Found(ref=ROLE, id=raw["RoleName"], owned=scope.owns(raw), fields={"policies": policies}),
    )


def find_profile(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's instance profile."""
    raw = _get(api, "get_instance_profile", {"InstanceProfileName": name(scope)}, "InstanceProfile")
    if raw is None:
        return ()
    roles = [role["RoleName"] for role in raw["Roles"]]
    return (
        Found(
            ref=PROFILE,
            id=raw["InstanceProfileName"],
            owned=scope.owns(raw),
            fields={"role": roles[0] if roles else ""},
        ),
    )


def _get(api: Api, operation: str, arguments: dict[str, str], key: str) -> Any:
    """An object by its name, or None."""
    try:
        return api.call("iam", operation, arguments)[key]
    except CloudError as error:
        if is_absence(error.code):
            return None
        raise


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it, with the policies that the inventory names."""
    made = Call(
        service="iam",
        operation="create_role",
        arguments={
            "RoleName": name(scope),
            "AssumeRolePolicyDocument": json.dumps(_TRUST),
            "Description": f"Hosts of the Kubernetes cluster {scope.cluster}",
            "Tags": tags(scope.cluster, record.ref),
        },
        yields=((record.ref, "Role.RoleName"),),
    )
    return (made, *(_policy("attach", each) for each in record.texts("policies")))


def _policies(record: Record, found: Found) -> tuple[Call, ...]:
    wanted, had = set(record.texts("policies")), set(found.fields["policies"])
    return (
        *(_policy("attach", each) for each in sorted(wanted - had)),
        *(_policy("detach", each) for each in sorted(had - wanted)),
    )


def _policy(verb: str, arn: str, role: str | Ref = ROLE) -> Call:
    return Call(
        service="iam",
        operation=f"{verb}_role_policy",
        arguments={"RoleName": role, "PolicyArn": arn},
        done=_GONE if verb == "detach" else frozenset(),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Take its policies away, and remove it."""
    apart = tuple(_policy("detach", arn, found.id) for arn in found.fields["policies"])
    gone = Call(service="iam", operation="delete_role", arguments={"RoleName": found.id})
    return (*apart, gone)


def create_profile(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Make it, and put the role in."""
    made = Call(
        service="iam",
        operation="create_instance_profile",
        arguments={
            "InstanceProfileName": name(scope),
            "Tags": tags(scope.cluster, record.ref),
        },
        yields=((record.ref, "InstanceProfile.InstanceProfileName"),),
    )
    return (made, _put(record))


def _put(record: Record) -> Call:
    return Call(
        service="iam",
        operation="add_role_to_instance_profile",
        arguments={"InstanceProfileName": record.ref, "RoleName": record.fields["role"]},
        done=_THERE,
    )


def _role(record: Record, found: Found) -> tuple[Call, ...]:
    return (_put(record),)


def delete_profile(found: Found) -> tuple[Call, ...]:
    """Take the role out, and remove it."""
    role = found.fields["role"]
    apart = Call(
        service="iam",
        operation="remove_role_from_instance_profile",
        arguments={"InstanceProfileName": found.id, "RoleName": role},
        done=_GONE,
    )
    gone = Call(
        service="iam",
        operation="delete_instance_profile",
        arguments={"InstanceProfileName": found.id},
    )
    return (apart, gone) if role else (gone,)


KIND = Kind(name="role", find=find, create=create, delete=delete, change={"policies": _policies})
PROFILE_KIND = Kind(
    name="profile",
    find=find_profile,
    create=create_profile,
    delete=delete_profile,
    change={"role": _role},
)
