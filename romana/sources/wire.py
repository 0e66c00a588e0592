"""Kubernetes objects as they are written in JSON and YAML, reduced to the fields that matter, and
what they become.

The structs below name only what Romana reads; everything else in an object is skipped while
decoding.
"""

from __future__ import annotations

import sys
from functools import lru_cache

import msgspec

from romana.objects import (
    Address,
    AddressBlock,
    ContainerPort,
    Namespace,
    Node,
    Pod,
    Protocol,
)
from romana.sources.errors import InvalidObject
from romana.sources.fields import Metadata, address, convert, named, network, shared_labels
from romana.sources.isolation import ANNOTATIONS, Unreadable, isolating_annotation
from romana.sources.policies import policy_from

__all__ = ["InvalidObject", "block_from", "namespace_from", "node_from", "pod_from", "policy_from"]


class NamespaceMetadata(Metadata):
    """Only namespaces' annotations are read; those of pods are many and large."""

    annotations: dict[str, str] | None = None


class WireNamespace(msgspec.Struct):
    """v1 Namespace."""

    metadata: NamespaceMetadata


class PodAnnotations(msgspec.Struct):
    """The one annotation of a pod that is read: on the API's image of a static pod, the identity
    under which the kubelet runs it, which is not the image's own uid.
    """

    mirror: str = msgspec.field(default="", name="kubernetes.io/config.mirror")


class PodMetadata(Metadata):
    """`metadata` of a pod."""

    annotations: PodAnnotations | None = None


class WirePort(msgspec.Struct):
    """One entry of a container's `ports`."""

    containerPort: int
    name: str | None = None
    protocol: Protocol | None = None


class WireContainer(msgspec.Struct):
    """A container's ports; `restartPolicy` tells a sidecar from an init container that ends."""

    ports: list[WirePort] | None = None
    restartPolicy: str | None = None


class WirePodSpec(msgspec.Struct):
    """`spec` of a pod."""

    nodeName: str | None = None
    hostNetwork: bool | None = None
    containers: list[WireContainer] | None = None
    initContainers: list[WireContainer] | None = None


class WirePodIP(msgspec.Struct):
    """One entry of `status.podIPs`."""

    ip: str


class WirePodStatus(msgspec.Struct):
    """`status` of a pod."""

    phase: str | None = None
    podIP: str | None = None
    podIPs: list[WirePodIP] | None = None


class WirePod(msgspec.Struct):
    """v1 Pod."""

    metadata: PodMetadata
    spec: WirePodSpec = msgspec.field(default_factory=WirePodSpec)
    status: WirePodStatus = msgspec.field(default_factory=WirePodStatus)


class WireNodeAddress(msgspec.Struct):
    """One entry of a node's `status.addresses`."""

    type: str
    address: str


class WireNodeStatus(msgspec.Struct):
    """`status` of a node."""

    addresses: list[WireNodeAddress] | None = None


class WireNode(msgspec.Struct):
    """v1 Node."""

    metadata: Metadata
    status: WireNodeStatus = msgspec.field(default_factory=WireNodeStatus)


class WireBlockSpec(msgspec.Struct):
    """`spec` of an AddressBlock."""

    cidr: str
    node: str


class WireBlock(msgspec.Struct):
    """romana.io/v1 AddressBlock."""

    metadata: Metadata
    spec: WireBlockSpec


_shared_port = lru_cache(maxsize=4096)(ContainerPort)


def namespace_of(wire: WireNamespace) -> Namespace:
    """The namespace of a decoded one.

    Raises:
        InvalidObject: the annotation that isolates cannot be read; `closed` is isolated by it.
    """
    name, found = named("Namespace", wire.metadata), wire.metadata.annotations or {}
    kept = {key: found[key] for key in ANNOTATIONS if key in found}
    isolated_by, fault = "", None
    try:
        isolated_by = isolating_annotation(kept)
    except Unreadable as error:
        isolated_by, fault = error.annotation, error
    namespace = Namespace(
        name=name,
        labels=shared_labels(wire.metadata.labels),
        annotations=shared_labels(kept),
        isolated_by=isolated_by,
    )
    if fault is not None:
        field = f"metadata.annotations[{fault.annotation}]"
        reason = f"{fault.reason}; its pods are closed to ingress until it can be read"
        raise InvalidObject("Namespace", name, field, reason, namespace)
    return namespace


def _pod_addresses(name: str, status: WirePodStatus) -> tuple[Address, ...]:
    if status.phase in ("Succeeded", "Failed"):
        return ()
    texts = [entry.ip for entry in status.podIPs or ()]
    if not texts and status.podIP:
        texts = [status.podIP]
    return tuple(address("Pod", name, "status.podIPs", text) for text in texts if text)


def _pod_ports(spec: WirePodSpec) -> tuple[ContainerPort, ...]:
    # Sidecars (init containers that keep running) serve too: kubernetes/pkg/api/v1/pod, FindPort.
    sidecars = (each for each in spec.initContainers or () if each.restartPolicy == "Always")
    return tuple(
        _shared_port(sys.intern(port.name), port.containerPort, port.protocol or Protocol.TCP)
        for container in (*(spec.containers or ()), *sidecars)
        for port in container.ports or ()
        if port.name
    )


def pod_of(wire: WirePod) -> Pod:
    """The pod of a decoded one. A finished pod (Succeeded, Failed) has no addresses: another may
    hold them by now."""
    metadata, spec = wire.metadata, wire.spec
    name = named("Pod", metadata)
    namespace = sys.intern(metadata.namespace or "default")
    return Pod(
        namespace=namespace,
        name=name,
        uid=(metadata.annotations and metadata.annotations.mirror) or metadata.uid,
        labels=shared_labels(metadata.labels),
        addresses=_pod_addresses(f"{namespace}/{name}", wire.status),
        node=sys.intern(spec.nodeName or ""),
        ports=_pod_ports(spec),
        host_network=bool(spec.hostNetwork),
    )


def node_of(wire: WireNode) -> Node:
    """The node of a decoded one: its addresses of type InternalIP."""
    name = named("Node", wire.metadata)
    return Node(
        name=name,
        addresses=tuple(
            address("Node", name, "status.addresses", entry.address)
            for entry in wire.status.addresses or ()
            if entry.type == "InternalIP"
        ),
        labels=shared_labels(wire.metadata.labels),
    )


def block_of(wire: WireBlock) -> AddressBlock:
    """The block of a decoded one.

    Raises:
        InvalidObject: its name is not the one that follows from its prefix, so that its claim
        proves nothing.
    """
    name = named("AddressBlock", wire.metadata)
    block = AddressBlock(
        cidr=network("AddressBlock", name, "spec.cidr", wire.spec.cidr),
        node=sys.intern(wire.spec.node),
    )
    if block.name != name:
        reason = f"the name of {block.cidr} must be `{block.name}`"
        raise InvalidObject("AddressBlock", name, "metadata.name", reason)
    return block


def namespace_from(obj: object) -> Namespace:
    """A namespace from its manifest. Raises InvalidObject, as do the four below."""
    return namespace_of(convert("Namespace", obj, WireNamespace))


def pod_from(obj: object) -> Pod:
    """A pod from its manifest."""
    return pod_of(convert("Pod", obj, WirePod))


def node_from(obj: object) -> Node:
    """A node from its manifest."""
    return node_of(convert("Node", obj, WireNode))


def block_from(obj: object) -> AddressBlock:
    """An address block from its manifest."""
    return block_of(convert("AddressBlock", obj, WireBlock))
