"""The reference: policies as their documentation says, written to be read, not to be fast.

It works on the objects alone and shares nothing with translation and compilation, so that it can
judge them. An address belongs to one pod at a time; the snapshot is taken at its word.

https://kubernetes.io/docs/concepts/services-networking/network-policies/
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
https://github.com/kubernetes/design-proposals-archive/blob/main/network/network-policy.md (v1beta1)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from romana.objects import (
    Address,
    IPBlock,
    NetworkPolicy,
    Peer,
    Pod,
    PodGroup,
    PolicyRule,
    PortMatch,
    Selector,
    Snapshot,
)
from romana.policy.admission import Direction, Flow
from romana.policy.verdict import Judgement, Outcome, Verdict


def evaluate(snapshot: Snapshot, flow: Flow) -> Verdict:
    """What both sides of a flow say, with reasons: `NetworkPolicy NAMESPACE/NAME ingress[RULE]` for
    each rule that admits it, `NetworkPolicy NAMESPACE/NAME` for each policy that isolates where
    none does; of a namespace that isolates, `annotation NAME of namespace NAMESPACE`."""
    source, destination = pod_at(snapshot, flow.source), pod_at(snapshot, flow.destination)
    if source is not None and source is destination:
        itself = Judgement(outcome=Outcome.ITSELF)
        return Verdict(egress=itself, ingress=itself)
    return Verdict(
        egress=_judge(snapshot, Direction.EGRESS, source, flow),
        ingress=_judge(snapshot, Direction.INGRESS, destination, flow),
    )


def pod_at(snapshot: Snapshot, address: Address) -> Pod | None:
    """The pod that has an address to itself; None for nodes and their hostNetwork pods."""
    for pod in snapshot.pods.values():
        if address in pod.addresses and not pod.host_network:
            return pod
    return None


def _judge(snapshot: Snapshot, direction: Direction, subject: Pod | None, flow: Flow) -> Judgement:
    if subject is None:
        return Judgement(outcome=Outcome.OUTSIDE)
    if direction is Direction.INGRESS and _is_node_of(snapshot, flow.source, subject):
        return Judgement(outcome=Outcome.NODE)
    opinions = [
        *_of_annotation(snapshot, direction, subject),
        *_of_network_policies(snapshot, direction, subject, flow),
        *_of_operator_policies(snapshot, direction, subject, flow),
    ]
    if not opinions:
        return Judgement(outcome=Outcome.OPEN)
    reasons = tuple(
        f"{opinion.policy} {direction.value}[{rule}]"
        for opinion in opinions
        for rule in opinion.admitting
    )
    if reasons:
        return Judgement(outcome=Outcome.ADMITTED, reasons=reasons)
    return Judgement(outcome=Outcome.DENIED, reasons=tuple(each.policy for each in opinions))


class Opinion(NamedTuple):
    """A policy that isolates the subject, and those of its rules that admit the flow."""

    policy: str
    admitting: tuple[int, ...] = ()


def _of_annotation(snapshot: Snapshot, direction: Direction, subject: Pod) -> Iterator[Opinion]:
    """A namespace with the annotation isolates all its pods, on ingress, and admits nothing."""
    name = _isolating_annotation(snapshot, subject.namespace)
    if name and direction is Direction.INGRESS:
        yield Opinion(f"annotation {name} of namespace {subject.namespace}")


def _isolating_annotation(snapshot: Snapshot, namespace: str) -> str:
    found = snapshot.namespaces.get(("", namespace))
    return found.isolated_by if found is not None else ""


def _of_network_policies(
    snapshot: Snapshot, direction: Direction, subject: Pod, flow: Flow
) -> Iterator[Opinion]:
    for _, policy in sorted(snapshot.policies.items()):
        if not _isolates(snapshot, policy, direction, subject):
            continue
        admitting = tuple(
            index
            for index, rule in enumerate(_rules(policy, direction) or ())
            if _admits(snapshot, policy, rule, direction, flow)
        )
        yield Opinion(f"NetworkPolicy {policy.namespace}/{policy.name}", admitting)


def _of_operator_policies(
    snapshot: Snapshot, direction: Direction, subject: Pod, flow: Flow
) -> Iterator[Opinion]:
    """A RomanaPolicy isolates the pods of any of its groups, and admits any of an entry's peers on
    any of its ports. It has no namespace of its own."""
    other = flow.source if direction is Direction.INGRESS else flow.destination
    for _, policy in sorted(snapshot.operator_policies.items()):
        rules = policy.ingress if direction is Direction.INGRESS else policy.egress
        if rules is None or not any(
            _in_group(snapshot, group, subject) for group in policy.applied_to
        ):
            continue
        admitting = tuple(
            index
            for index, rule in enumerate(rules)
            if rule.peers is None or any(_is_party(snapshot, each, other) for each in rule.peers)
            if rule.ports is None or any(_is_port(snapshot, each, flow) for each in rule.ports)
        )
        yield Opinion(f"RomanaPolicy {policy.name}", admitting)


def _is_party(snapshot: Snapshot, party: PodGroup | IPBlock, address: Address) -> bool:
    if isinstance(party, IPBlock):
        return address in party.cidr and not any(address in each for each in party.exceptions)
    pod = pod_at(snapshot, address)
    return pod is not None and _in_group(snapshot, party, pod)


def _in_group(snapshot: Snapshot, group: PodGroup, pod: Pod) -> bool:
    """A pod's segment is the value of the first segment label that it has."""
    segments = [pod.labels[each] for each in snapshot.segment_labels if each in pod.labels]
    if group.segment and segments[:1] != [group.segment]:
        return False
    if group.namespace is not None:
        in_namespace = pod.namespace == group.namespace
    else:
        in_namespace = _namespace_matches(snapshot, group.namespaces, pod.namespace)
    return in_namespace and group.pods.matches(pod.labels)


def _is_node_of(snapshot: Snapshot, address: Address, pod: Pod) -> bool:
    node = snapshot.nodes.get(("", pod.node))
    return node is not None and address in node.addresses


def _rules(policy: NetworkPolicy, direction: Direction) -> tuple[PolicyRule, ...] | None:
    return policy.ingress if direction is Direction.INGRESS else policy.egress


def _isolates(snapshot: Snapshot, policy: NetworkPolicy, direction: Direction, pod: Pod) -> bool:
    """A policy isolates the pods that it selects in its own namespace, in the directions that it
    names. Those of extensions/v1beta1 add to what an isolated namespace admits, on ingress, and
    are nothing without the annotation."""
    annotated = bool(_isolating_annotation(snapshot, pod.namespace))
    if policy.beta and direction is Direction.INGRESS and not annotated:
        return False
    return (
        policy.namespace == pod.namespace
        and policy.pods.matches(pod.labels)
        and _rules(policy, direction) is not None
    )


def _admits(
    snapshot: Snapshot,
    policy: NetworkPolicy,
    rule: PolicyRule,
    direction: Direction,
    flow: Flow,
) -> bool:
    """A rule admits what comes from or goes to one of its peers *and* uses one of its ports. An
    absent list matches everything."""
    other = flow.source if direction is Direction.INGRESS else flow.destination
    peer_matches = rule.peers is None or any(
        _is_peer(snapshot, policy, peer, other) for peer in rule.peers
    )
    port_matches = rule.ports is None or any(_is_port(snapshot, port, flow) for port in rule.ports)
    return peer_matches and port_matches


def _is_peer(snapshot: Snapshot, policy: NetworkPolicy, peer: Peer, address: Address) -> bool:
    """ipBlock goes by address alone, pods included. Selectors go by the pod at the address; without
    a namespaceSelector they mean the policy's own namespace."""
    if isinstance(peer, IPBlock):
        return address in peer.cidr and not any(address in each for each in peer.exceptions)
    pod = pod_at(snapshot, address)
    if pod is None or not peer.pods.matches(pod.labels):
        return False
    if peer.namespaces is None:
        return pod.namespace == policy.namespace
    return _namespace_matches(snapshot, peer.namespaces, pod.namespace)


def _namespace_matches(snapshot: Snapshot, wanted: Selector, name: str) -> bool:
    """The empty selector matches every namespace. Any other needs labels to judge, and so a
    namespace that is known."""
    if not wanted.requirements:
        return True
    namespace = snapshot.namespaces.get(("", name))
    return namespace is not None and wanted.matches(namespace.labels)


def _is_port(snapshot: Snapshot, match: PortMatch, flow: Flow) -> bool:
    """The protocol must be the same; without a port, every port of it. A name stands for what the
    receiving pod calls so, for this protocol."""
    if match.protocol.number != flow.protocol:
        return False
    if match.port is None:
        return True
    if isinstance(match.port, int):
        last = match.port if match.end_port is None else match.end_port
        return match.port <= flow.port <= last
    return match.end_port is None and flow.port in _named(snapshot, match, flow.destination)


def _named(snapshot: Snapshot, match: PortMatch, address: Address) -> Iterator[int]:
    pod = pod_at(snapshot, address)
    for port in pod.ports if pod is not None else ():
        if port.name == match.port and port.protocol is match.protocol:
            yield port.port
