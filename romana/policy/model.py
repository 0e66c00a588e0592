"""Romana policy: the middle form that every kind of policy becomes, and what operators see.

A policy isolates the pods it applies to in one direction and admits what its entries describe. Each
entry admits any of its peers on any of its rules. Entries stay separate: the peers of one never
meet the rules of another. (The Romana of 2016 kept one list of each, so that two ingress entries
together admitted every peer on every port.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from romana.objects import IPBlock, Key, Operator, Pod, Protocol, Requirement, Selector
from romana.policy.admission import Direction

MAX_PORT = 65535


class PodSet(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Pods by labels: of the one namespace that is named, or of every namespace whose labels match.

    Args:
        pods: what the pod's own labels fulfil.
        namespace: the only namespace; None where namespaces are chosen by label.
        namespaces: what the namespace's labels fulfil; of no account where `namespace` is given.
    """

    pods: Selector = Selector()
    namespace: str | None = None
    namespaces: Selector = Selector()

    def holds_namespace(self, name: str, known: Mapping[Key, Any]) -> bool:
        """Whether pods of a namespace can be in this set.

        A namespace that is not known (yet) has no labels that could be judged: it is chosen by its
        name or by the empty selector, never by a `NotIn` that its real labels might contradict.
        """
        if self.namespace is not None:
            return name == self.namespace
        if not self.namespaces.requirements:
            return True
        namespace = known.get(("", name))
        return namespace is not None and self.namespaces.matches(namespace.labels)

    def holds(self, pod: Pod, known: Mapping[Key, Any]) -> bool:
        """Whether a pod is in this set, given the known namespaces.

        A pod in its node's network never is: its address is the node's, so that to admit it would
        admit the whole node and every other such pod. The API leaves this undefined (NetworkPolicy
        v1: "hostNetwork pods"); nodes are admitted by ipBlock.
        """
        if pod.host_network or not self.holds_namespace(pod.namespace, known):
            return False
        return self.pods.matches(pod.labels)

    def as_json(self) -> dict[str, Any]:
        """As in a policy file; selectors are written as Kubernetes writes them."""
        where: dict[str, Any] = (
            {"namespaces": selector_json(self.namespaces)}
            if self.namespace is None
            else {"namespace": self.namespace}
        )
        return {**where, "pods": selector_json(self.pods)}


PolicyPeer = PodSet | IPBlock


class PortRange(NamedTuple):
    """Ports `low` to `high`, both included."""

    low: int
    high: int


EVERY_PORT = PortRange(0, MAX_PORT)


class Rule(msgspec.Struct, frozen=True, gc=False):
    """Traffic by protocol and destination port.

    Args:
        protocol: None is every protocol; `ports` then are None too.
        ports: None is every port; an empty tuple, none at all. A text is a port's name, to be
        looked up on the pod that receives the traffic.
    """

    protocol: Protocol | None = None
    ports: tuple[PortRange | str, ...] | None = None

    def __post_init__(self) -> None:
        if self.protocol is None and self.ports is not None:
            raise ValueError("a rule for every protocol cannot choose ports")

    def as_json(self) -> dict[str, Any]:
        """`protocol`, and `ports` and `port_ranges` where they are chosen."""
        if self.protocol is None:
            return {"protocol": "any"}
        result: dict[str, Any] = {"protocol": self.protocol.value.lower()}
        if self.ports is None:
            return result
        ranges = [port for port in self.ports if isinstance(port, PortRange)]
        names = [port for port in self.ports if isinstance(port, str)]
        result["ports"] = [each.low for each in ranges if each.low == each.high] + names
        result["port_ranges"] = [list(each) for each in ranges if each.low != each.high]
        return result


class Entry(msgspec.Struct, frozen=True, gc=False):
    """Any of the peers on any of the rules; None is every peer."""

    peers: tuple[PolicyPeer, ...] | None
    rules: tuple[Rule, ...]

    def as_json(self) -> dict[str, Any]:
        """`peers` and `rules`; every peer is written `{"peer": "any"}`, as in 2016. No peer is the
        pod's own node, which is always admitted: `{"peer": "host"}`."""
        if self.peers is None:
            peers = [{"peer": "any"}]
        else:
            peers = [peer_json(each) for each in self.peers] or [{"peer": "host"}]
        return {"peers": peers, "rules": [rule.as_json() for rule in self.rules]}


ANNOTATION = "annotation"


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The object a policy was made from. Of kind ANNOTATION it is a namespace's annotation, with
    that as its name."""

    kind: str
    namespace: str
    name: str
    uid: str = ""

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.namespace, self.name)

    @property
    def text(self) -> str:
        """As operators know it."""
        if self.kind == ANNOTATION:
            return f"annotation {self.name} of namespace {self.namespace}"
        return f"{self.kind} {'/'.join(filter(None, self.key))}"


class RomanaPolicy(msgspec.Struct, frozen=True, gc=False):
    """One direction of isolation: the pods it applies to, and what they still admit. `entries` are
    in the order of the origin's rules, so that an entry's index is the rule's."""

    name: str
    direction: Direction
    applied_to: tuple[PodSet, ...]
    entries: tuple[Entry, ...]
    origin: Origin

    def applies_to(self, pod: Pod, known: Mapping[Key, Any]) -> bool:
        """Whether it isolates a pod, given the known namespaces."""
        return any(each.holds(pod, known) for each in self.applied_to)

    def as_json(self) -> dict[str, Any]:
        """The policy as `romana policy show` prints it, and as `spec` of a RomanaPolicy has it:
        plain values only."""
        return {
            "name": self.name,
            "direction": self.direction.value,
            "applied_to": [each.as_json() for each in self.applied_to],
            self.direction.value: [each.as_json() for each in self.entries],
            "origin": msgspec.to_builtins(self.origin),
        }


def peer_json(peer: PolicyPeer) -> dict[str, Any]:
    """A peer as in a policy file."""
    if isinstance(peer, PodSet):
        return peer.as_json()
    result: dict[str, Any] = {"cidr": str(peer.cidr)}
    if peer.exceptions:
        result["except"] = [str(each) for each in peer.exceptions]
    return result


def selector_json(selector: Selector) -> dict[str, Any]:
    """A selector as Kubernetes writes it; one value of a key is a `matchLabels` entry."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for each in selector.requirements:
        if _is_label(each) and each.key not in labels:
            labels[each.key] = each.values[0]
        else:
            values = {"values": list(each.values)} if each.values else {}
            expressions.append({"key": each.key, "operator": each.operator.value, **values})
    result: dict[str, Any] = {}
    if labels:
        result["matchLabels"] = labels
    if expressions:
        result["matchExpressions"] = expressions
    return result


def _is_label(requirement: Requirement) -> bool:
    return requirement.operator is Operator.IN and len(requirement.values) == 1
