"""networking.k8s.io/v1 NetworkPolicy: from its manifest to the policy, with Kubernetes' defaults
resolved.

A rule that cannot be read is an error, and so is a field that is not known: a policy must never
admit more than it says. Rules:
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/ and the API
server's own checks in kubernetes/pkg/apis/networking/validation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Literal

import msgspec

from romana.objects import (
    IPBlock,
    Network,
    NetworkPolicy,
    Operator,
    Peer,
    PodPeer,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
)
from romana.sources.errors import InvalidObject
from romana.sources.fields import Metadata, convert, named

MAX_PORT = 65535

PolicyType = Literal["Ingress", "Egress"]
BOTH: tuple[PolicyType, PolicyType] = ("Ingress", "Egress")


class WireRequirement(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of `matchExpressions`."""

    key: str
    operator: Operator
    values: list[str] | None = None


class WireSelector(msgspec.Struct, forbid_unknown_fields=True):
    """A label selector."""

    matchLabels: dict[str, str] | None = None
    matchExpressions: list[WireRequirement] | None = None


class WireIPBlock(msgspec.Struct, forbid_unknown_fields=True, rename={"exceptions": "except"}):
    """`ipBlock` of a peer."""

    cidr: str
    exceptions: list[str] | None = None


class WirePeer(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of `from` or `to`."""

    podSelector: WireSelector | None = None
    namespaceSelector: WireSelector | None = None
    ipBlock: WireIPBlock | None = None


class WirePolicyPort(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a rule's `ports`."""

    protocol: Protocol | None = None
    port: int | str | None = None
    endPort: int | None = None


class WireIngress(msgspec.Struct, forbid_unknown_fields=True, rename={"peers": "from"}):
    """One entry of `ingress`."""

    peers: list[WirePeer] | None = None
    ports: list[WirePolicyPort] | None = None


class WireEgress(msgspec.Struct, forbid_unknown_fields=True, rename={"peers": "to"}):
    """One entry of `egress`."""

    peers: list[WirePeer] | None = None
    ports: list[WirePolicyPort] | None = None


class WirePolicySpec(msgspec.Struct, forbid_unknown_fields=True):
    """`spec` of a policy. `podSelector` may be left out: that is the empty selector, all pods of
    the namespace."""

    podSelector: WireSelector | None = None
    policyTypes: list[PolicyType] | None = None
    ingress: list[WireIngress] | None = None
    egress: list[WireEgress] | None = None


class WirePolicy(msgspec.Struct):
    """networking.k8s.io/v1 NetworkPolicy."""

    metadata: Metadata
    spec: WirePolicySpec


class FieldFault(Exception):
    """Something is wrong in a field; the caller knows whose."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def _requirement(field: str, wire: WireRequirement) -> Requirement:
    values = tuple(sorted(sys.intern(value) for value in wire.values or ()))
    takes_values = wire.operator in (Operator.IN, Operator.NOT_IN)
    if takes_values and not values:
        raise FieldFault(
            f"{field}.values", f"operator {wire.operator.value} needs at least one value"
        )
    if values and not takes_values:
        raise FieldFault(f"{field}.values", f"operator {wire.operator.value} takes no values")
    return Requirement(sys.intern(wire.key), wire.operator, values)


def read_selector(field: str, wire: WireSelector) -> Selector:
    """Conditions in an order of their own, so that selectors written differently are equal when
    they mean the same."""
    found = {
        Requirement(sys.intern(key), Operator.IN, (sys.intern(value),))
        for key, value in (wire.matchLabels or {}).items()
    }
    for index, each in enumerate(wire.matchExpressions or ()):
        found.add(_requirement(f"{field}.matchExpressions[{index}]", each))
    return Selector(tuple(sorted(found, key=lambda each: (each.key, each.operator, each.values))))


def _prefix(field: str, text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise FieldFault(field, f"`{text}` is not a prefix") from error


def read_ip_block(field: str, wire: WireIPBlock) -> IPBlock:
    cidr = _prefix(f"{field}.cidr", wire.cidr)
    exceptions = tuple(
        _prefix(f"{field}.except[{index}]", text)
        for index, text in enumerate(wire.exceptions or ())
    )
    for index, each in enumerate(exceptions):
        inside = each.version == cidr.version and each.subnet_of(cidr)  # type: ignore[arg-type]
        if not inside:
            raise FieldFault(f"{field}.except[{index}]", f"{each} is not within {cidr}")
    return IPBlock(cidr, exceptions)


def _peer(field: str, wire: WirePeer) -> Peer:
    selects = wire.podSelector is not None or wire.namespaceSelector is not None
    if wire.ipBlock is not None:
        if selects:
            raise FieldFault(f"{field}.ipBlock", "must stand alone, without selectors")
        return read_ip_block(f"{field}.ipBlock", wire.ipBlock)
    if not selects:
        raise FieldFault(field, "must have one of podSelector, namespaceSelector or ipBlock")
    pods, namespaces = wire.podSelector, wire.namespaceSelector
    return PodPeer(
        pods=Selector() if pods is None else read_selector(f"{field}.podSelector", pods),
        namespaces=None
        if namespaces is None
        else read_selector(f"{field}.namespaceSelector", namespaces),
    )


def _port(field: str, wire: WirePolicyPort) -> PortMatch:
    port, end = wire.port, wire.endPort
    if isinstance(port, int) and not 1 <= port <= MAX_PORT:
        raise FieldFault(f"{field}.port", f"{port} is not between 1 and {MAX_PORT}")
    if isinstance(port, str):
        if not any(letter.isalpha() for letter in port):
            raise FieldFault(
                f"{field}.port", f"`{port}` is text; a number is written without quotes"
            )
        port = sys.intern(port)
    if end is not None:
        if not isinstance(port, int):
            raise FieldFault(f"{field}.endPort", "needs a number as `port`")
        if not port <= end <= MAX_PORT:
            raise FieldFault(f"{field}.endPort", f"{end} is not between {port} and {MAX_PORT}")
    return PortMatch(wire.protocol or Protocol.TCP, port, end)


def _rule(field: str, peers_field: str, wire: WireIngress | WireEgress) -> PolicyRule:
    peers = tuple(
        _peer(f"{field}.{peers_field}[{index}]", each)
        for index, each in enumerate(wire.peers or ())
    )
    ports = tuple(
        _port(f"{field}.ports[{index}]", each) for index, each in enumerate(wire.ports or ())
    )
    return PolicyRule(peers or None, ports or None)


def _rules(
    field: str, peers_field: str, wires: Iterable[WireIngress | WireEgress] | None
) -> tuple[PolicyRule, ...]:
    return tuple(
        _rule(f"{field}[{index}]", peers_field, wire) for index, wire in enumerate(wires or ())
    )


def policy_of(wire: WirePolicy) -> NetworkPolicy:
    """The policy of a decoded one.

    Raises:
        InvalidObject: a field has no meaning. `closed` is not set; `policy_from` does that.
    """
    metadata, spec = wire.metadata, wire.spec
    name = named("NetworkPolicy", metadata)
    namespace = sys.intern(metadata.namespace or "default")
    types = spec.policyTypes or BOTH[: 2 if spec.egress else 1]
    try:
        return NetworkPolicy(
            namespace=namespace,
            name=name,
            uid=metadata.uid,
            generation=metadata.generation,
            pods=read_selector("spec.podSelector", spec.podSelector or WireSelector()),
            ingress=_rules("spec.ingress", "from", spec.ingress) if "Ingress" in types else None,
            egress=_rules("spec.egress", "to", spec.egress) if "Egress" in types else None,
        )
    except FieldFault as fault:
        raise InvalidObject(
            "NetworkPolicy", f"{namespace}/{name}", fault.field, fault.reason
        ) from fault


def policy_from(obj: object) -> NetworkPolicy:
    """A policy from its manifest.

    Raises:
        InvalidObject: a field cannot be read; `closed` is what must be enforced instead.
    """
    try:
        return policy_of(convert("NetworkPolicy", obj, WirePolicy))
    except InvalidObject as error:
        error.closed = _closed(obj)
        raise


def _closed(obj: object) -> NetworkPolicy | None:
    """The policy with every rule left out that cannot be read. Where it cannot be told which pods
    it selects or which directions it isolates, that is all of them: isolating too much is noticed,
    too little is not.
    """
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    spec = obj.get("spec") if isinstance(obj, dict) else None
    if not isinstance(spec, dict) or not set(spec) <= set(WirePolicySpec.__struct_fields__):
        return _read(metadata, {"policyTypes": list(BOTH)})
    pods, types = spec.get("podSelector"), spec.get("policyTypes")
    if _read(metadata, {"podSelector": pods}) is None:
        pods = {}
    if (not types and spec.get("egress")) or _read(metadata, {"policyTypes": types}) is None:
        types = list(BOTH)
    closed = {"podSelector": pods, "policyTypes": types}
    for direction in ("ingress", "egress"):
        rules = spec.get(direction)
        closed[direction] = [
            rule
            for rule in (rules if isinstance(rules, list) else ())
            if _read(metadata, {direction: [rule], "policyTypes": list(BOTH)}) is not None
        ]
    return _read(metadata, closed)


def _read(metadata: object, spec: dict[str, object]) -> NetworkPolicy | None:
    """The policy of these parts, or None where one of them cannot be read."""
    try:
        return policy_of(convert("NetworkPolicy", {"metadata": metadata, "spec": spec}, WirePolicy))
    except InvalidObject:
        return None
