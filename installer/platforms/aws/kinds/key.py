"""The key pair: EC2 gives its public half to the login user of new instances."""

from __future__ import annotations

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds.base import Kind, Scope, specification
from installer.platforms.aws.records import Found, Record, Ref

KEY = Ref("key", "")


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's key pair."""
    which = {"Filters": scope.by_tag, "IncludePublicKey": True}
    return tuple(
        Found(
            ref=KEY,
            id=raw["KeyName"],
            owned=scope.owns(raw),
            fields={"public": material(raw.get("PublicKey", ""))},
        )
        for raw in api.call("ec2", "describe_key_pairs", which)["KeyPairs"]
    )


def material(line: str) -> str:
    """A public key without its comment."""
    return " ".join(line.split()[:2])


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Import it."""
    public = str(record.fields["public"])
    return (
        Call(
            operation="import_key_pair",
            arguments={
                "KeyName": scope.unique,
                "PublicKeyMaterial": f"{public} {scope.unique}".encode(),
                "TagSpecifications": specification(scope, record.ref, "key-pair"),
            },
            yields=((record.ref, "KeyName"),),
        ),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Remove it from EC2; hosts keep what they were given."""
    return (Call(operation="delete_key_pair", arguments={"KeyName": found.id}),)


KIND = Kind(
    name="key",
    find=find,
    create=create,
    delete=delete,
    fixed={
        "public": "hosts that exist know the old key only: give it as `key` in the inventory's "
        "vars, or destroy the cluster and make it again"
    },
)
