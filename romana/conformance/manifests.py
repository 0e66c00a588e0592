"""A step as manifests: one file for each object, so that a difference is a difference of files.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from romana.conformance.cases import SERVED, PodState, Step
from romana.conformance.placement import Placement
from romana.objects import Address

Manifests = Mapping[str, bytes]
"""Files by name."""


def cluster_manifests(placement: Placement, nodes: Mapping[str, tuple[Address, ...]]) -> Manifests:
    """What no step changes: the nodes with their addresses, and who holds which block."""
    objects = [_node(name, addresses) for name, addresses in nodes.items()]
    for block in placement.objects:
        objects.append(
            {
                "apiVersion": "romana.io/v1",
                "kind": "AddressBlock",
                "metadata": {"name": block.name},
                "spec": {"cidr": str(block.cidr), "node": block.node},
            }
        )
    return dict(_file(each) for each in objects)


def step_manifests(step: Step, placement: Placement) -> Manifests:
    """Namespaces, pods and policies of a step."""
    objects: list[Mapping[str, Any]]
    objects = [_namespace(name, labels) for name, labels in step.namespaces.items()]
    objects += [_pod(pod, placement.host(pod.address)) for pod in step.pods]
    objects += step.policies
    return dict(_file(each) for each in objects)


def _file(manifest: Mapping[str, Any]) -> tuple[str, bytes]:
    metadata = manifest["metadata"]
    parts = (manifest["kind"].lower(), metadata.get("namespace", ""), metadata["name"])
    return "_".join(filter(None, parts)) + ".json", msgspec.json.encode(manifest)


def _node(name: str, addresses: tuple[Address, ...]) -> dict[str, Any]:
    internal = [{"type": "InternalIP", "address": str(address)} for address in addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": internal},
    }


def _namespace(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _pod(pod: PodState, node: str) -> dict[str, Any]:
    ports = [
        {"name": name, "containerPort": port, "protocol": protocol.value}
        for (name, protocol), port in SERVED.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": pod.labels},
        "spec": {"nodeName": node, "containers": [{"name": "serve", "ports": ports}]},
        "status": {
            "phase": "Running",
            "podIP": str(pod.address),
            "podIPs": [{"ip": str(pod.address)}],
        },
    }
