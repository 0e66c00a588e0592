"""The few fields of Kubernetes objects that matter to the network, as small frozen values.

Everything that reads a cluster (the API, a directory of manifests, a test) ends in these values;
everything that decides (policy, routes, addresses) starts from them. Optional parts that
Kubernetes defaults are already resolved here: a protocol is always named, `policyTypes` has become
"is there a rule list for this direction".

Semantics: https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Labels = Mapping[str, str]
Key = tuple[str, str]
"""Namespace and name; the namespace is "" for objects that have none."""


DEFAULT_DENY_ANNOTATION = "net.beta.kubernetes.io/network-policy"
"""The annotation by which Kubernetes 1.3-1.6 closes the pods of a namespace to ingress."""


SEGMENT_LABELS = ("romana.io/segment", "segment")
"""The labels that put a pod into a segment, of the Romana of 2017 and of 2016; the first that a pod
has counts."""


class Protocol(str, Enum):
    """Transport protocols a NetworkPolicy can name; the values are Kubernetes' spelling."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"

    @property
    def number(self) -> int:
        """The IANA protocol number, as in the IP header."""
        return _NUMBERS[self.value]


_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}


class Operator(str, Enum):
    """Set operators of a label selector requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(msgspec.Struct, frozen=True, gc=False):
    """One condition on one label. `matchLabels` entries are `In` with a single value."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Whether the labels fulfil this condition. `NotIn` also holds where the key is absent, as
        in Kubernetes."""
        value = labels.get(self.key)
        if self.operator is Operator.EXISTS:
            return value is not None
        if self.operator is Operator.DOES_NOT_EXIST:
            return value is None
        if self.operator is Operator.IN:
            return value in self.values
        return value not in self.values


class Selector(msgspec.Struct, frozen=True, gc=False):
    """A label selector: all requirements must hold; none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Whether every requirement holds for the labels."""
        return all(requirement.matches(labels) for requirement in self.requirements)


class Namespace(msgspec.Struct, frozen=True, gc=False):
    """A namespace with its labels; `annotations` keeps only the ones that Romana reads.
    `isolated_by` is the annotation that closes its pods to ingress, as in Kubernetes 1.3; empty
    where none does."""

    name: str
    labels: Labels = msgspec.field(default_factory=dict)
    annotations: Labels = msgspec.field(default_factory=dict)
    isolated_by: str = ""

    @property
    def key(self) -> Key:
        """("", name)."""
        return ("", self.name)


class ContainerPort(msgspec.Struct, frozen=True, gc=False):
    """A named port of a pod: what a policy's named port resolves to, on this pod only."""

    name: str
    port: int
    protocol: Protocol = Protocol.TCP


class Pod(msgspec.Struct, frozen=True, gc=False):
    """A pod. `addresses` is empty until it has any, and again once it is finished (Succeeded,
    Failed): its address may by then belong to another pod."""

    namespace: str
    name: str
    uid: str = ""
    labels: Labels = msgspec.field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    node: str = ""
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.namespace, self.name)


class PortMatch(msgspec.Struct, frozen=True, gc=False):
    """One entry of a rule's `ports`: every port of the protocol (`port` None), one number, a
    range, or a name."""

    protocol: Protocol = Protocol.TCP
    port: int | str | None = None
    end_port: int | None = None


class IPBlock(msgspec.Struct, frozen=True, gc=False):
    """Addresses by prefix, less the exceptions (which are not a deny: another rule may admit
    them)."""

    cidr: Network
    exceptions: tuple[Network, ...] = ()


class PodPeer(msgspec.Struct, frozen=True, gc=False):
    """Pods selected by labels. `namespaces` None means the policy's own namespace; an empty
    selector, all of them."""

    pods: Selector = Selector()
    namespaces: Selector | None = None


Peer = PodPeer | IPBlock


class PolicyRule(msgspec.Struct, frozen=True, gc=False):
    """One ingress or egress rule: any of the peers on any of the ports. None means every peer,
    every port (an absent or empty list in the manifest)."""

    peers: tuple[Peer, ...] | None = None
    ports: tuple[PortMatch, ...] | None = None


class NetworkPolicy(msgspec.Struct, frozen=True, gc=False):
    """A NetworkPolicy. A direction whose rules are None is not isolated by this
    policy; an empty tuple isolates it and admits nothing. One of extensions/v1beta1 (`beta`) is of
    no account for ingress unless its namespace's annotation isolates."""

    namespace: str
    name: str
    uid: str = ""
    generation: int = 0
    pods: Selector = Selector()
    ingress: tuple[PolicyRule, ...] | None = None
    egress: tuple[PolicyRule, ...] | None = None
    beta: bool = False

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.namespace, self.name)


class PodGroup(msgspec.Struct, frozen=True, gc=False):
    """Pods as a Romana policy names them: of one namespace (`namespace`), or else of those whose
    labels match (`namespaces`). A `segment` narrows them to the pods whose segment label has this
    value: the first of `Snapshot.segment_labels` that a pod has."""

    pods: Selector = Selector()
    namespace: str | None = None
    namespaces: Selector = Selector()
    segment: str = ""


class OperatorRule(msgspec.Struct, frozen=True, gc=False):
    """One entry of a Romana policy: any of the peers on any of the ports. None is every peer, every
    port of every protocol; no peers at all is the pod's own node, which is always admitted."""

    peers: tuple[PodGroup | IPBlock, ...] | None = None
    ports: tuple[PortMatch, ...] | None = None


class OperatorPolicy(msgspec.Struct, frozen=True, gc=False):
    """romana.io/v1 RomanaPolicy: isolates pods of any namespace, as a NetworkPolicy does those of
    its own."""

    name: str
    uid: str = ""
    generation: int = 0
    applied_to: tuple[PodGroup, ...] = ()
    ingress: tuple[OperatorRule, ...] | None = None
    egress: tuple[OperatorRule, ...] | None = None

    @property
    def key(self) -> Key:
        """("", name)."""
        return ("", self.name)


class Node(msgspec.Struct, frozen=True, gc=False):
    """A host of the cluster: its internal addresses, in the order the kubelet reports them."""

    name: str
    addresses: tuple[Address, ...] = ()
    labels: Labels = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        """("", name)."""
        return ("", self.name)


class AddressBlock(msgspec.Struct, frozen=True, gc=False):
    """romana.io/v1 AddressBlock: a prefix of pod addresses held by one node. Its name derives from
    the prefix, so that the API server itself refuses a second claim of the same block."""

    cidr: Network
    node: str

    @property
    def name(self) -> str:
        """The object's name: `10.112.0.0/25` is `10.112.0.0-25`; colons of IPv6 become `x`."""
        return f"{self.cidr.network_address}-{self.cidr.prefixlen}".replace(":", "x")

    @property
    def key(self) -> Key:
        """("", name)."""
        return ("", self.name)


Object = Namespace | Pod | NetworkPolicy | OperatorPolicy | Node | AddressBlock


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """All objects of a cluster at one moment, by kind and key. What the pure parts of the agent
    decide from."""

    namespaces: Mapping[Key, Namespace] = msgspec.field(default_factory=dict)
    pods: Mapping[Key, Pod] = msgspec.field(default_factory=dict)
    policies: Mapping[Key, NetworkPolicy] = msgspec.field(default_factory=dict)
    operator_policies: Mapping[Key, OperatorPolicy] = msgspec.field(default_factory=dict)
    nodes: Mapping[Key, Node] = msgspec.field(default_factory=dict)
    blocks: Mapping[Key, AddressBlock] = msgspec.field(default_factory=dict)
    segment_labels: tuple[str, ...] = SEGMENT_LABELS

    def namespace_labels(self, name: str) -> Labels:
        """Labels of a namespace; none where it is not known (yet)."""
        namespace = self.namespaces.get(("", name))
        return namespace.labels if namespace else {}

    def pods_of(self, namespace: str) -> Iterator[Pod]:
        """The pods of one namespace."""
        return (pod for pod in self.pods.values() if pod.namespace == namespace)
