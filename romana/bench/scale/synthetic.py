"""A cluster made up by numbers, in the manner of kube-burner's network-policy workload: every
namespace has the same number of pods and of policies; each policy selects the pods of one app, and
admits pods of some apps in some namespaces, and some prefixes, on some ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random

from romana.objects import (
    AddressBlock,
    ContainerPort,
    IPBlock,
    Namespace,
    NetworkPolicy,
    Node,
    Operator,
    OperatorPolicy,
    OperatorRule,
    Peer,
    Pod,
    PodGroup,
    PodPeer,
    PolicyRule,
    PortMatch,
    Requirement,
    Selector,
)

APPS = 10
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
FIRST_POD = int(ip_address("10.112.0.0"))
FIRST_POD6 = int(ip_address("fd00:112::"))
FIRST_NODE = int(ip_address("198.18.0.11"))
FIRST_PROBE = FIRST_POD + 2**19
PROBE, NO_PROBE = {"probe": "yes"}, {"probe": "no"}
BLOCK = 128
WEB = (ContainerPort("web", 8080),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large the cluster is. The parameters have the names that kube-burner gives them in its
    network-policy workload.

    Args:
        pods: in the whole cluster.
        policies: likewise.
        iterations: namespaces that share them.
        nodes: that share the pods.
        pods_per_node: pods of this host, of as many namespaces as there are.
        remotes_namespaces: that one policy admits pods of.
        remotes_pods: apps whose pods it admits there.
        single_ports: on which.
        cidrs: prefixes that it admits besides.
        families: 1 for pods with an IPv4 address, 2 for an IPv6 address besides.
    """

    pods: int = 10_000
    policies: int = 5_000
    iterations: int = 100
    nodes: int = 100
    pods_per_node: int = 100
    remotes_namespaces: int = 2
    remotes_pods: int = 1
    single_ports: int = 2
    cidrs: int = 1
    families: int = 1

    @classmethod
    def defaults(cls) -> dict[str, int]:
        """What it is unless told otherwise."""
        return asdict(cls())


class Cluster:
    """The objects of a shape. The same shape makes the same objects."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._random = Random(1)  # noqa: S311 - the same each time
        self._labels = [{"app": f"app-{app}", "tier": f"tier-{app % 3}"} for app in range(APPS)]
        self._node_names = [f"node-{number}" for number in range(shape.nodes)]

    def namespaces(self) -> list[Namespace]:
        """All of them."""
        names = map(namespace, range(self.shape.iterations))
        return [
            Namespace(name, {NAMESPACE_LABEL: name, "team": f"team-{number % 10}"})
            for number, name in enumerate(names)
        ]

    def nodes(self) -> list[Node]:
        """All of them; the first is this host."""
        return [
            Node(name, (IPv4Address(FIRST_NODE + number),))
            for number, name in enumerate(self._node_names)
        ]

    def blocks(self) -> list[AddressBlock]:
        """As many as the pods need, handed out in turn."""
        count = -(-self.shape.pods * 2 // BLOCK)
        return [
            AddressBlock(
                ip_network((FIRST_POD + number * BLOCK, 25)),
                self._node_names[number % self.shape.nodes],
            )
            for number in range(count)
        ]

    def pods(self) -> list[Pod]:
        """All of them; the first `pods_per_node` are this host's."""
        return [self.pod(number) for number in range(self.shape.pods)]

    def pod(self, number: int, app: int | None = None) -> Pod:
        """One pod; those beyond the shape's are new."""
        local = number < self.shape.pods_per_node
        others = max(1, self.shape.nodes - 1)
        addresses = (IPv4Address(FIRST_POD + number), IPv6Address(FIRST_POD6 + number))
        return Pod(
            namespace=namespace(number % self.shape.iterations),
            name=f"pod-{number}",
            labels=self._labels[(self.app(number) if app is None else app) % APPS],
            addresses=addresses[: self.shape.families],
            node=self._node_names[0 if local else 1 + number % others],
            ports=WEB,
        )

    def app(self, number: int) -> int:
        """Which app a pod is of."""
        local = number < self.shape.pods_per_node
        return (number if local else number // self.shape.iterations) % APPS

    def policies(self) -> list[NetworkPolicy]:
        """All of them."""
        return [self.policy(number) for number in range(self.shape.policies)]

    def policy(self, number: int, app: int | None = None) -> NetworkPolicy:
        """One policy; those beyond the shape's are new. Of each four, two isolate ingress, one
        egress, one both."""
        spread = number // self.shape.iterations if app is None else app
        rules = (PolicyRule(tuple(self._peers()), tuple(self._ports())),)
        return NetworkPolicy(
            namespace=namespace(number % self.shape.iterations),
            name=f"policy-{number}",
            pods=one_of("app", f"app-{spread % APPS}"),
            ingress=rules if number % 4 != 2 else None,
            egress=rules if number % 4 >= 2 else None,
        )

    def probe(self, number: int, *, admitted: bool = True) -> Pod:
        """A pod of another host that `probe_policy` admits to one of this host's, or does not."""
        return Pod(
            namespace=namespace(number % self.shape.iterations),
            name=f"probe-{number}",
            labels=PROBE if admitted else NO_PROBE,
            addresses=(IPv4Address(FIRST_PROBE + number),),
            node=self._node_names[-1],
            ports=WEB,
        )

    def probe_policy(self) -> NetworkPolicy:
        """Admits the pods that are probes to this host's pods in the first namespace."""
        ((key, value),) = PROBE.items()
        peer = PodPeer(one_of(key, value), Selector())
        return NetworkPolicy(
            namespace=namespace(0), name="probe", ingress=(PolicyRule((peer,), None),)
        )

    def operator_policies(self) -> list[OperatorPolicy]:
        """As many RomanaPolicies, instead of NetworkPolicies, that say the same."""
        return [self.operator_policy(number) for number in range(self.shape.policies)]

    def operator_policy(self, number: int, app: int | None = None) -> OperatorPolicy:
        """What one policy says, as a RomanaPolicy."""
        policy = self.policy(number, app)
        return OperatorPolicy(
            name=policy.name,
            applied_to=(PodGroup(policy.pods, policy.namespace),),
            ingress=_operator_rules(policy.ingress),
            egress=_operator_rules(policy.egress),
        )

    def _peers(self) -> Iterator[Peer]:
        chosen = self._random.sample(range(self.shape.iterations), self.shape.remotes_namespaces)
        apps = self._random.sample(range(APPS), self.shape.remotes_pods)
        yield PodPeer(
            one_of("app", *(f"app-{each}" for each in apps)),
            one_of(NAMESPACE_LABEL, *sorted(map(namespace, chosen))),
        )
        for _ in range(self.shape.cidrs):
            prefix = self._random.randrange(2**16)
            yield IPBlock(ip_network((int(ip_address("172.16.0.0")) + prefix * 16, 28)))

    def _ports(self) -> Iterator[PortMatch]:
        for _ in range(self.shape.single_ports):
            yield PortMatch(port=self._random.choice((80, 443, 5432, 6379, 8080, 9090)))


def _operator_rules(rules: tuple[PolicyRule, ...] | None) -> tuple[OperatorRule, ...] | None:
    if rules is None:
        return None
    return tuple(
        OperatorRule(tuple(map(_operator_peer, rule.peers or ())), rule.ports) for rule in rules
    )


def _operator_peer(peer: Peer) -> PodGroup | IPBlock:
    if isinstance(peer, IPBlock):
        return peer
    return PodGroup(peer.pods, namespaces=peer.namespaces or Selector())


def namespace(number: int) -> str:
    """The name of a namespace."""
    return f"ns-{number}"


def one_of(key: str, *values: str) -> Selector:
    """What has one of the values as its label."""
    return Selector((Requirement(key, Operator.IN, values),))
