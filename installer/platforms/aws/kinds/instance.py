"""Instances, one for each host. Each has the private address that the inventory says, so that
everything about the cluster is known before it exists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds.base import Kind, Scope
from installer.platforms.aws.kinds.group import GROUP
from installer.platforms.aws.kinds.key import KEY
from installer.platforms.aws.kinds.role import PROFILE
from installer.platforms.aws.records import (
    HOST_KEY_TAG,
    NAME_TAG,
    NEXT_KEY_TAG,
    Found,
    Record,
    Ref,
    tagged,
    tags,
)

ENDING = ("shutting-down", "terminated")
_HOP_LIMIT = 1
"""Answers of the metadata service do not get past the host itself: pods cannot ask it."""


def find(api: Api, scope: Scope) -> tuple[Found, ...]:
    """The cluster's instances by host name. Of one that is being terminated nothing can be used
    again; it comes under another kind, `ended`, with its id as name."""
    answer = api.call("ec2", "describe_instances", {"Filters": scope.by_tag})
    raws = (raw for group in answer["Reservations"] for raw in group["Instances"])
    return tuple(_found(raw, scope) for raw in raws)


def _found(raw: Mapping[str, Any], scope: Scope) -> Found:
    state = raw["State"]["Name"]
    name = tagged(raw, NAME_TAG)
    interfaces = raw.get("NetworkInterfaces") or [{}]
    groups = (group["GroupId"] for group in interfaces[0].get("Groups", ()))
    return Found(
        ref=Ref("ended", raw["InstanceId"]) if state in ENDING else Ref("instance", name),
        id=raw["InstanceId"],
        owned=scope.owns(raw),
        fields={
            "state": "running" if state == "pending" else state,
            "type": raw["InstanceType"],
            "address": raw.get("PrivateIpAddress", ""),
            "subnet": raw.get("SubnetId", ""),
            "groups": tuple(sorted(groups)),
            "source_dest_check": "on" if raw.get("SourceDestCheck", True) else "off",
            "imds": raw.get("MetadataOptions", {}).get("HttpTokens", ""),
        },
        details={
            "host": name,
            "state": state,
            "interface": interfaces[0].get("NetworkInterfaceId", ""),
            "public": raw.get("PublicIpAddress", ""),
            "host_key": tagged(raw, HOST_KEY_TAG),
            "next_key": tagged(raw, NEXT_KEY_TAG),
            "image": raw["ImageId"],
        },
    )


def create(record: Record, scope: Scope) -> tuple[Call, ...]:
    """Launch it, and let it carry what is not its own: pods' packets."""
    arguments = _launch(record, scope)
    launched = Call(
        operation="run_instances",
        arguments=arguments | {"ClientToken": _token(arguments, record.details["nonce"])},
        yields=(
            (record.ref, "Instances.0.InstanceId"),
            (
                Ref("interface", record.ref.name),
                "Instances.0.NetworkInterfaces.0.NetworkInterfaceId",
            ),
        ),
    )
    return (launched, _unchecked(record))


def _launch(record: Record, scope: Scope) -> dict[str, Any]:
    details = record.details
    own = tags(scope.cluster, record.ref)
    key = [{"Key": HOST_KEY_TAG, "Value": details["host_key"]}] if details["host_key"] else []
    return {
        "ImageId": details["image"],
        "InstanceType": record.fields["type"],
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": KEY,
        "IamInstanceProfile": {"Name": PROFILE},
        "UserData": details["user_data"],
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": _HOP_LIMIT,
            "HttpEndpoint": "enabled",
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": record.fields["subnet"],
                "PrivateIpAddress": record.fields["address"],
                "AssociatePublicIpAddress": details["public"],
                "Groups": [GROUP],
                "DeleteOnTermination": True,
            }
        ],
        "BlockDeviceMappings": [
            {
                "DeviceName": details["root_device"],
                "Ebs": {
                    "VolumeSize": details["disk_gb"],
                    "VolumeType": "gp3",
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": own + key},
            {"ResourceType": "volume", "Tags": own},
            {"ResourceType": "network-interface", "Tags": own},
        ],
    }


def _token(arguments: Mapping[str, Any], nonce: str) -> str:
    """The same for the same launch, so that one which was carried out unheard is not repeated; AWS
    refuses a token that comes with other arguments."""
    text = json.dumps(arguments, default=str, sort_keys=True) + nonce
    return hashlib.sha256(text.encode()).hexdigest()


def _unchecked(record: Record) -> Call:
    return Call(
        operation="modify_instance_attribute",
        arguments={"InstanceId": record.ref, "SourceDestCheck": {"Value": False}},
    )


def _check_off(record: Record, found: Found) -> tuple[Call, ...]:
    return (_unchecked(record),)


def _start(record: Record, found: Found) -> tuple[Call, ...]:
    return (Call(operation="start_instances", arguments={"InstanceIds": [found.id]}),)


def _group(record: Record, found: Found) -> tuple[Call, ...]:
    arguments = {"InstanceId": found.id, "Groups": list(record.many("groups"))}
    return (Call(operation="modify_instance_attribute", arguments=arguments),)


def _metadata(record: Record, found: Found) -> tuple[Call, ...]:
    return (
        Call(
            operation="modify_instance_metadata_options",
            arguments={
                "InstanceId": found.id,
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": _HOP_LIMIT,
                "HttpEndpoint": "enabled",
            },
        ),
    )


def delete(found: Found) -> tuple[Call, ...]:
    """Terminate it; its volume and its interface go with it."""
    return (Call(operation="terminate_instances", arguments={"InstanceIds": [found.id]}),)


KIND = Kind(
    name="instance",
    find=find,
    create=create,
    delete=delete,
    change={
        "state": _start,
        "source_dest_check": _check_off,
        "groups": _group,
        "imds": _metadata,
    },
    fixed={
        "type": "put instance_type back, or terminate the instance and run again",
        "address": "put the address back, or terminate the instance and run again",
        "subnet": "put the zone back, or terminate the instance and run again",
    },
)
