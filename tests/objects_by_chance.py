"""Strategies for clusters: objects as agents know them, with addresses, policies of every kind and
the nodes.

The worlds are small and crowded on purpose: few labels, neighbouring addresses, blocks that cut
through pods' addresses, ports next to each other.
"""

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from romana.objects import (
    DEFAULT_DENY_ANNOTATION,
    SEGMENT_LABELS,
    ContainerPort,
    IPBlock,
    Namespace,
    NetworkPolicy,
    Node,
    Operator,
    OperatorPolicy,
    OperatorRule,
    Pod,
    PodGroup,
    PodPeer,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
    Snapshot,
)
from romana.policy.admission import Endpoint

NAMESPACES = ("x", "y", "unlisted")
KEYS, VALUES = ("app", "tier", *SEGMENT_LABELS), ("a", "b")
PORT_NAMES = ("web", "dns")
PORTS = (79, 80, 81, 82)
V4, V6 = ip_network("10.0.0.0/28"), ip_network("fd00::/124")
NODE = Node("n1", (ip_address("10.0.0.15"), ip_address("fd00::f")))
OUTSIDE = (ip_address("10.0.0.14"), ip_address("192.0.2.1"), ip_address("fd00::e"))
"""Addresses that are no pod's and no node's."""

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
protocols = st.sampled_from(Protocol)


@st.composite
def requirements(draw):
    operator = draw(st.sampled_from(Operator))
    takes_values = operator in (Operator.IN, Operator.NOT_IN)
    values = draw(st.lists(st.sampled_from(VALUES), min_size=1, unique=True))
    key = draw(st.sampled_from(KEYS))
    return Requirement(key, operator, tuple(sorted(values)) if takes_values else ())


selectors = st.builds(
    Selector, st.lists(requirements(), max_size=2).map(lambda found: tuple(found))
)


@st.composite
def blocks(draw):
    wide = draw(st.sampled_from((V4, V6, ip_network("0.0.0.0/0"), ip_network("::/0"))))
    inside = V4 if wide.version == 4 else V6
    size = inside.max_prefixlen
    inner = [inside, *(n for bits in (1, 2, 3, 4) for n in inside.subnets(bits))]
    cidr = draw(st.sampled_from([wide, *inner]))
    within = [n for n in inner if n.subnet_of(cidr) and n.prefixlen >= size - 3]
    exceptions = draw(st.lists(st.sampled_from(within), max_size=2)) if within else []
    return IPBlock(cidr, tuple(exceptions))


@st.composite
def ports(draw):
    """Every port of a protocol, one by number or by name, or a range; sometimes an odd one, as a
    range that ends before it begins, or one that begins with a name."""
    kind = draw(st.sampled_from(("every", "number", "name", "range", "range", "odd")))
    port, end = None, None
    if kind in ("number", "range"):
        port = draw(st.sampled_from(PORTS[:-1]))
    if kind == "range":
        end = draw(st.sampled_from(PORTS[PORTS.index(port) + 1 :]))
    if kind in ("name", "odd"):
        port = draw(st.sampled_from((*PORT_NAMES, *PORTS) if kind == "odd" else PORT_NAMES))
    if kind == "odd":
        end = draw(st.sampled_from(PORTS))
    return PortMatch(draw(protocols), port, end)


pod_peers = st.builds(PodPeer, selectors, st.one_of(st.none(), selectors))
rules = st.builds(
    PolicyRule,
    st.one_of(st.none(), st.lists(st.one_of(pod_peers, blocks()), max_size=3).map(tuple)),
    st.one_of(st.none(), st.lists(ports(), max_size=3).map(tuple)),
)
groups = st.builds(
    PodGroup,
    selectors,
    st.one_of(st.none(), st.sampled_from(NAMESPACES)),
    selectors,
    st.sampled_from(("", *VALUES)),
)
operator_rules = st.builds(
    OperatorRule,
    st.one_of(st.none(), st.lists(st.one_of(groups, blocks()), max_size=3).map(tuple)),
    st.one_of(st.none(), st.lists(ports(), max_size=3).map(tuple)),
)
operator_rule_lists = st.one_of(st.none(), st.lists(operator_rules, max_size=2).map(tuple))
rule_lists = st.one_of(st.none(), st.lists(rules, max_size=3).map(tuple))


@st.composite
def snapshots(draw, fewest=1):
    """Clusters of at most eight pods."""
    namespaces = [
        Namespace(
            name, draw(labels), isolated_by=draw(st.sampled_from(("", DEFAULT_DENY_ANNOTATION)))
        )
        for name in NAMESPACES[:2]
    ]
    pods = []
    for number in range(draw(st.integers(fewest, 8))):
        host_network = draw(st.integers(0, 7)) == 0
        named = st.builds(
            ContainerPort, st.sampled_from(PORT_NAMES), st.sampled_from(PORTS), protocols
        )
        pods.append(
            Pod(
                namespace=draw(st.sampled_from(NAMESPACES)),
                name=f"p{number}",
                labels=draw(labels),
                addresses=NODE.addresses if host_network else (V4[number + 1], V6[number + 1]),
                node=draw(st.sampled_from(("n1", "n2"))),
                ports=tuple(draw(st.lists(named, max_size=3))),
                host_network=host_network,
            )
        )
    policies = [
        NetworkPolicy(
            namespace=draw(st.sampled_from(NAMESPACES)),
            name=f"policy{number}",
            pods=draw(selectors),
            ingress=draw(rule_lists),
            egress=draw(rule_lists),
            beta=draw(st.booleans()),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    operators = [
        OperatorPolicy(
            name=f"romana{number}",
            applied_to=tuple(draw(st.lists(groups, min_size=1, max_size=2))),
            ingress=draw(operator_rule_lists),
            egress=draw(operator_rule_lists),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    return Snapshot(
        namespaces={each.key: each for each in namespaces},
        pods={each.key: each for each in pods},
        policies={each.key: each for each in policies},
        operator_policies={each.key: each for each in operators},
        segment_labels=draw(st.permutations(SEGMENT_LABELS).map(tuple)),
        nodes={NODE.key: NODE},
    )


def endpoints_of(snapshot, node=None):
    return [
        Endpoint(interface=f"rom-{pod.name}", addresses=pod.addresses, pod=pod.key)
        for pod in snapshot.pods.values()
        if not pod.host_network and node in (None, pod.node)
    ]
