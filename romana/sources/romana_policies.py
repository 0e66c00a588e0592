"""romana.io/v1 RomanaPolicy: from its manifest to the policy.

The schema is in docs/policy.md. Nothing has a default that admits: who is meant by an entry, and on
which ports, is written or refused. All faults of a document are told at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from romana.objects import IPBlock, OperatorPolicy, OperatorRule, PodGroup, Selector
from romana.sources.errors import InvalidObject
from romana.sources.fields import Metadata, name_in
from romana.sources.policies import (
    FieldFault,
    WireIPBlock,
    WireSelector,
    read_ip_block,
    read_selector,
)
from romana.sources.reading import Fault, Reading
from romana.sources.romana_rules import ports_of

KIND = "RomanaPolicy"
DIRECTIONS = ("ingress", "egress")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_LIMIT = 253

_GROUP = ("tenant", "namespace", "namespaces", "pods", "segment")
_TARGET_REFUSED = {
    "peer": "belongs in `peers`: targets are pods",
    "cidr": "targets are pods; name them by tenant, segment or labels",
    "except": "targets are pods; name them by tenant, segment or labels",
}
_PEER_REFUSED = {"dest": "belongs in `applied_to`"}
_HOST_TARGET = "hosts are not isolated, only pods; `dest: local` is every pod"
_LOCAL_PEER = "pods move between hosts; name them by tenant, segment or labels"
_HOST_EGRESS = "hosts have addresses; name them by `cidr`"


class WireRomanaPolicy(msgspec.Struct):
    """romana.io/v1 RomanaPolicy, undecoded: it is read so that all faults are found."""

    metadata: Any = None
    spec: Any = None


class Found(NamedTuple):
    """What a manifest says.

    Args:
        policy: what can be read of it; None where it cannot be told which pods it isolates.
        faults: what is wrong with it.
    """

    policy: OperatorPolicy | None
    faults: tuple[Fault, ...]


def romana_policy_of(wire: WireRomanaPolicy) -> OperatorPolicy:
    """The policy of a decoded one. Raises InvalidObject."""
    return romana_policy_from({"metadata": wire.metadata, "spec": wire.spec})


def romana_policy_from(obj: object) -> OperatorPolicy:
    """A policy from its manifest.

    Raises:
        InvalidObject: it cannot be read or honoured in full; the message says all faults.
    """
    policy, faults = read_romana_policy(obj)
    if policy is None or faults:
        rest = "".join(f"; {fault}" for fault in faults[1:])
        field, reason = faults[0]
        raise InvalidObject(KIND, name_in(KIND, obj), field, reason + rest, policy)
    return policy


def read_romana_policy(obj: object) -> Found:
    """Read a manifest as far as possible.

    An entry with a fault is left out: it must not admit more than it says. A target with a fault is
    its whole namespace, where that is named: to isolate too much is noticed. Without any target
    that can be read there is no policy: to isolate every pod of a cluster for a slip of the pen
    would be no less harmful than the slip.
    """
    reading = Reading()
    manifest = obj if isinstance(obj, dict) else {}
    metadata = reading.converted("metadata", manifest.get("metadata"), Metadata) or Metadata()
    if not NAME.fullmatch(metadata.name) or len(metadata.name) > NAME_LIMIT:
        reading.refuse("metadata.name", "must be lower-case letters, digits, `-` and `.`")
    known = ("description", "direction", "applied_to", *DIRECTIONS)
    spec = reading.mapping("spec", manifest.get("spec"), known, {}) or {}
    absent = "names no pods; `- dest: local` is every pod of the cluster"
    targets = [
        group
        for index, value in enumerate(
            reading.items("spec.applied_to", spec.get("applied_to"), absent)
        )
        for group in _target(reading, f"spec.applied_to[{index}]", value)
    ]
    isolated = _directions(reading, spec)
    rules = {each: _entries(reading, each, spec.get(each)) for each in isolated}
    if not targets or not metadata.name:
        return Found(None, tuple(reading.faults))
    policy = OperatorPolicy(
        name=sys.intern(metadata.name),
        uid=metadata.uid,
        generation=metadata.generation,
        applied_to=tuple(targets),
        ingress=rules.get("ingress"),
        egress=rules.get("egress"),
    )
    return Found(policy, tuple(reading.faults))


def _directions(reading: Reading, spec: dict[str, Any]) -> tuple[str, ...]:
    """The direction that the policy isolates; where it cannot be told, both."""
    direction = spec.get("direction")
    if direction not in DIRECTIONS:
        reading.refuse("spec.direction", "must be ingress or egress")
        return DIRECTIONS
    for other in DIRECTIONS:
        if other != direction and spec.get(other) is not None:
            reading.refuse(
                f"spec.{other}", f"the direction is {direction}; write a policy for each"
            )
    return (direction,)


def _target(reading: Reading, field: str, value: object) -> Iterable[PodGroup]:
    before = len(reading.faults)
    group = reading.mapping(field, value, (*_GROUP, "dest"), _TARGET_REFUSED)
    if group is None:
        return ()
    if "dest" in group:
        if group["dest"] != "local":
            reading.refuse(f"{field}.dest", _HOST_TARGET)
        if len(group) > 1:
            reading.refuse(field, "`dest` stands alone")
        found = PodGroup()
    else:
        found = _group(reading, field, group)
    if len(reading.faults) == before:
        return (found,)
    namespace = group.get("tenant", group.get("namespace"))
    return (PodGroup(namespace=namespace),) if isinstance(namespace, str) and namespace else ()


def _entries(reading: Reading, direction: str, value: object) -> tuple[OperatorRule, ...]:
    """The entries without fault. None at all is no fault: such a policy admits nothing."""
    field = f"spec.{direction}"
    if value is not None and not isinstance(value, list):
        reading.refuse(field, "must be a list of entries")
        return ()
    entries = []
    for index, each in enumerate(value or ()):
        before = len(reading.faults)
        found = _entry(reading, f"{field}[{index}]", direction, each)
        if len(reading.faults) == before:
            entries.append(found)
    return tuple(entries)


def _entry(reading: Reading, field: str, direction: str, value: object) -> OperatorRule:
    entry = reading.mapping(field, value, ("peers", "rules"), {}) or {}
    absent = "names nobody; `- peer: any` is everybody"
    peers: list[PodGroup | IPBlock] = []
    everybody = False
    for index, each in enumerate(reading.items(f"{field}.peers", entry.get("peers"), absent)):
        found = _peer(reading, f"{field}.peers[{index}]", direction, each)
        everybody = everybody or found is None
        peers += found or ()
    ports = ports_of(reading, f"{field}.rules", entry.get("rules"))
    return OperatorRule(None if everybody else tuple(peers), ports)


def _peer(
    reading: Reading, field: str, direction: str, value: object
) -> tuple[PodGroup | IPBlock, ...] | None:
    """Whom a peer stands for. None is everybody; a host, which always reaches its own pods, is
    nobody besides."""
    peer = reading.mapping(field, value, (*_GROUP, "peer", "cidr", "except"), _PEER_REFUSED)
    if peer is None:
        return ()
    if "peer" in peer:
        if len(peer) > 1:
            reading.refuse(field, "`peer` stands alone")
        return _named_peer(reading, f"{field}.peer", direction, peer["peer"])
    if "cidr" in peer:
        if not set(peer) <= {"cidr", "except"}:
            reading.refuse(field, "`cidr` stands alone, with `except` at most")
        return _block(reading, field, peer)
    if "except" in peer:
        reading.refuse(f"{field}.except", "goes with `cidr`")
    return (_group(reading, field, peer),)


def _named_peer(
    reading: Reading, field: str, direction: str, name: object
) -> tuple[PodGroup, ...] | None:
    if name == "any":
        return None
    if name == "local":
        reading.refuse(field, _LOCAL_PEER)
    elif name != "host":
        reading.refuse(field, "must be any or host")
    elif direction == "egress":
        reading.refuse(field, _HOST_EGRESS)
    return ()


def _block(reading: Reading, field: str, peer: dict[str, Any]) -> tuple[IPBlock, ...]:
    wire = reading.converted(field, peer, WireIPBlock)
    if wire is None:
        return ()
    try:
        return (read_ip_block(field, wire),)
    except FieldFault as fault:
        reading.refuse(fault.field, fault.reason)
        return ()


def _group(reading: Reading, field: str, group: dict[str, Any]) -> PodGroup:
    places = [key for key in ("tenant", "namespace", "namespaces") if key in group]
    if len(places) != 1:
        wanted = "one of tenant, namespace or namespaces (`namespaces: {}` is all)"
        reading.refuse(field, f"must have {wanted}")
        return PodGroup()
    place = places[0]
    namespace = None
    if place != "namespaces":
        namespace = sys.intern(reading.text(f"{field}.{place}", group[place]))
    return PodGroup(
        pods=_selector(reading, f"{field}.pods", group.get("pods", {})),
        namespace=namespace,
        namespaces=_selector(reading, f"{field}.namespaces", group.get("namespaces", {})),
        segment=sys.intern(reading.text(f"{field}.segment", group["segment"]))
        if "segment" in group
        else "",
    )


def _selector(reading: Reading, field: str, value: object) -> Selector:
    wire = reading.converted(field, value, WireSelector)
    try:
        return Selector() if wire is None else read_selector(field, wire)
    except FieldFault as fault:
        reading.refuse(fault.field, fault.reason)
        return Selector()
