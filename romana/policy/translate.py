"""From networking.k8s.io/v1 NetworkPolicy to Romana policies: one for each direction it isolates.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from __future__ import annotations

from collections.abc import Iterable

from romana.objects import IPBlock, NetworkPolicy, Peer, PolicyRule, PortMatch, Protocol
from romana.policy.admission import Direction
from romana.policy.model import (
    Entry,
    Origin,
    PodSet,
    PolicyPeer,
    PortRange,
    RomanaPolicy,
    Rule,
)


def translate(policy: NetworkPolicy) -> tuple[RomanaPolicy, ...]:
    """The Romana policies of a NetworkPolicy: ingress, egress, or both.

    They are named `kube.NAMESPACE.NAME.DIRECTION`. A namespace has no dot in its name, so no two
    policies share one.
    """
    return tuple(
        translated
        for direction in Direction
        if (translated := translate_direction(policy, direction)) is not None
    )


def translate_direction(policy: NetworkPolicy, direction: Direction) -> RomanaPolicy | None:
    """The Romana policy of one direction; None where the NetworkPolicy does not isolate it."""
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
