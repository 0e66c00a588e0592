"""From what isolates pods to Romana policies: one for each direction.

- NetworkPolicy of networking.k8s.io/v1, and of extensions/v1beta1, whose ingress is of account only
  where the namespace's annotation isolates;
- that annotation, which isolates every pod of its namespace and admits nothing;
- RomanaPolicy, which is the same already, but for its segments.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from romana.objects import (
    SEGMENT_LABELS,
    IPBlock,
    Key,
    Namespace,
    NetworkPolicy,
    Operator,
    OperatorPolicy,
    OperatorRule,
    Peer,
    PodGroup,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
    Snapshot,
)
from romana.policy.admission import Direction
from romana.policy.model import (
    ANNOTATION,
    Entry,
    Origin,
    PodSet,
    PolicyPeer,
    PortRange,
    RomanaPolicy,
    Rule,
)

Isolating = NetworkPolicy | Namespace | OperatorPolicy
"""What can isolate pods."""


def effective(policy: NetworkPolicy, namespaces: Mapping[Key, Namespace]) -> NetworkPolicy:
    """A policy as it counts now: one of extensions/v1beta1 says nothing of ingress unless its
    namespace is isolated."""
    namespace = namespaces.get(("", policy.namespace))
    if policy.beta and not (namespace and namespace.isolated_by):
        return msgspec.structs.replace(policy, ingress=None)
    return policy


def translate_idle(snapshot: Snapshot) -> Iterator[RomanaPolicy]:
    """The policies that say nothing, for want of their namespace's annotation: see `effective`."""
    for _, policy in sorted(snapshot.policies.items()):
        if policy.beta and effective(policy, snapshot.namespaces) != policy:
            translated = translate_direction(policy, Direction.INGRESS)
            if translated is not None:
                yield translated


def translate_all(snapshot: Snapshot) -> Iterator[RomanaPolicy]:
    """Every Romana policy that counts, in order."""
    for _, namespace in sorted(snapshot.namespaces.items()):
        yield from translate(namespace)
    for _, policy in sorted(snapshot.policies.items()):
        yield from translate(effective(policy, snapshot.namespaces))
    for _, each in sorted(snapshot.operator_policies.items()):
        yield from translate(each, snapshot.segment_labels)


def translate(
    policy: Isolating, segment_labels: tuple[str, ...] = SEGMENT_LABELS
) -> tuple[RomanaPolicy, ...]:
    """The Romana policies of one object: ingress, egress, or both.

    Those of a NetworkPolicy are named `kube.NAMESPACE.NAME.DIRECTION` (a namespace has no dot in
    its name, so no two policies share one), that of an annotation `namespace.NAME.ingress`, those
    of a RomanaPolicy `romana.NAME.DIRECTION`.
    """
    return tuple(
        translated
        for direction in Direction
        if (translated := translate_direction(policy, direction, segment_labels)) is not None
    )


def translate_direction(
    policy: Isolating,
    direction: Direction,
    segment_labels: tuple[str, ...] = SEGMENT_LABELS,
) -> RomanaPolicy | None:
    """The Romana policy of one direction; None where the object does not isolate it."""
    if isinstance(policy, Namespace):
        return _default_deny(policy) if direction is Direction.INGRESS else None
    if isinstance(policy, OperatorPolicy):
        return _of_operator(policy, direction, segment_labels)
    rules = policy.ingress if direction is Direction.INGRESS else policy.egress
    if rules is None:
        return None
    return RomanaPolicy(
        name=f"kube.{policy.namespace}.{policy.name}.{direction.value}",
        direction=direction,
        applied_to=(PodSet(policy.pods, policy.namespace),),
        entries=tuple(_entry(policy.namespace, rule) for rule in rules),
        origin=Origin("NetworkPolicy", policy.namespace, policy.name, policy.uid),
    )


def _default_deny(namespace: Namespace) -> RomanaPolicy | None:
    if not namespace.isolated_by:
        return None
    return RomanaPolicy(
        name=f"namespace.{namespace.name}.ingress",
        direction=Direction.INGRESS,
        applied_to=(PodSet(namespace=namespace.name),),
        entries=(),
        origin=Origin(ANNOTATION, namespace.name, namespace.isolated_by),
    )


def _of_operator(
    policy: OperatorPolicy, direction: Direction, labels: tuple[str, ...]
) -> RomanaPolicy | None:
    rules = policy.ingress if direction is Direction.INGRESS else policy.egress
    if rules is None:
        return None
    return RomanaPolicy(
        name=f"romana.{policy.name}.{direction.value}",
        direction=direction,
        applied_to=targets(policy, labels),
        entries=tuple(_operator_entry(rule, labels) for rule in rules),
        origin=Origin("RomanaPolicy", "", policy.name, policy.uid),
    )


def targets(policy: OperatorPolicy, labels: tuple[str, ...]) -> tuple[PodSet, ...]:
    """The pods that a RomanaPolicy isolates.

    Args:
        policy: in question.
        labels: those that put a pod into a segment; the first that it has counts.
    """
    return tuple(pods for group in policy.applied_to for pods in _pod_sets(group, labels))


def _operator_entry(rule: OperatorRule, labels: tuple[str, ...]) -> Entry:
    rules = (Rule(),) if rule.ports is None else tuple(_rules(rule.ports))
    if rule.peers is None:
        return Entry(None, rules)
    peers: list[PolicyPeer] = []
    for peer in rule.peers:
        peers += [peer] if isinstance(peer, IPBlock) else _pod_sets(peer, labels)
    return Entry(tuple(peers), rules)


def _pod_sets(group: PodGroup, labels: tuple[str, ...]) -> Iterator[PodSet]:
    """The pods of a group. Those of a segment are one set for each label that may say so: the pods
    that have it, with this value, and none of the labels before it."""
    if not group.segment:
        yield PodSet(group.pods, group.namespace, group.namespaces)
        return
    for index, label in enumerate(labels):
        conditions = {
            *group.pods.requirements,
            Requirement(label, Operator.IN, (group.segment,)),
            *(Requirement(each, Operator.DOES_NOT_EXIST) for each in labels[:index]),
        }
        ordered = sorted(conditions, key=lambda each: (each.key, each.operator, each.values))
        yield PodSet(Selector(tuple(ordered)), group.namespace, group.namespaces)


def _entry(namespace: str, rule: PolicyRule) -> Entry:
    peers = None if rule.peers is None else tuple(_peer(namespace, each) for each in rule.peers)
    return Entry(peers, (Rule(),) if rule.ports is None else tuple(_rules(rule.ports)))


def _peer(namespace: str, peer: Peer) -> PolicyPeer:
    if isinstance(peer, IPBlock):
        return peer
    if peer.namespaces is None:
        return PodSet(peer.pods, namespace)
    return PodSet(peer.pods, None, peer.namespaces)


def _rules(matches: Iterable[PortMatch]) -> Iterable[Rule]:
    """One rule for each protocol, in the order in which they are first named."""
    by_protocol: dict[Protocol, list[PortMatch]] = {}
    for match in matches:
        by_protocol.setdefault(match.protocol, []).append(match)
    for protocol, found in by_protocol.items():
        yield Rule(protocol, _ports(found))


def _ports(matches: Iterable[PortMatch]) -> tuple[PortRange | str, ...] | None:
    ports: list[PortRange | str] = []
    for match in matches:
        if match.port is None:
            return None
        ports.extend(_port(match.port, match.end_port))
    return tuple(ports)


def _port(port: int | str, end: int | None) -> tuple[PortRange | str, ...]:
    """The port or range; nothing where the API server would have refused it (a range that ends
    before it starts, or starts at a name): such an entry must not admit more than it says."""
    if isinstance(port, str):
        return (port,) if end is None else ()
    high = port if end is None else end
    return (PortRange(port, high),) if port <= high else ()
