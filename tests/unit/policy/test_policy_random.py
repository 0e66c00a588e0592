"""Random clusters, policies and flows: the reference, the compiled form and the explanation agree.

The worlds are small and crowded on purpose: few labels, neighbouring addresses, blocks that cut
through pods' addresses, ports next to each other.
"""

from ipaddress import ip_address, ip_network
from itertools import combinations, product
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

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
from romana.policy.admission import ANY_PROTOCOL, Endpoint, Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.explain import explain
from romana.policy.judge import Judge

NAMESPACES = ("x", "y", "unlisted")
KEYS, VALUES = ("app", "tier", *SEGMENT_LABELS), ("a", "b")
PORT_NAMES = ("web", "dns")
PORTS = (79, 80, 81, 82)
V4, V6 = ip_network("10.0.0.0/28"), ip_network("fd00::/124")
NODE = Node("n1", (ip_address("10.0.0.15"), ip_address("fd00::f")))
OUTSIDE = (ip_address("10.0.0.14"), ip_address("192.0.2.1"), ip_address("fd00::e"))
PROTOCOL_NUMBERS = (1, 6, 17, 132)

crowded = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

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
    port = draw(st.one_of(st.none(), st.sampled_from(PORTS), st.sampled_from(PORT_NAMES)))
    end = draw(st.one_of(st.none(), st.sampled_from(PORTS))) if isinstance(port, int) else None
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
def snapshots(draw):
    namespaces = [
        Namespace(
            name, draw(labels), isolated_by=draw(st.sampled_from(("", DEFAULT_DENY_ANNOTATION)))
        )
        for name in NAMESPACES[:2]
    ]
    pods = []
    for number in range(draw(st.integers(1, 8))):
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


def flows_of(snapshot, seed):
    """Flows between some of the addresses, on every protocol and port."""
    random = Random(seed)
    addresses = {a for pod in snapshot.pods.values() for a in pod.addresses}
    addresses = sorted({*addresses, *OUTSIDE}, key=lambda a: (a.version, int(a)))
    pairs = [pair for pair in product(addresses, repeat=2) if pair[0].version == pair[1].version]
    for source, destination in random.sample(pairs, min(len(pairs), 20)):
        for number in PROTOCOL_NUMBERS:
            for port in (0,) if number == 1 else (*PORTS, 83):
                yield Flow(source=source, destination=destination, protocol=number, port=port)


def outcomes(verdict):
    return (verdict.egress.outcome, verdict.ingress.outcome)


@crowded
@given(snapshots(), st.integers(0, 2**32))
def test_reference_and_compiled_form_agree(snapshot, seed):
    by_node = {
        node: Judge(compile_admission(snapshot, endpoints_of(snapshot, node)), addresses)
        for node, addresses in (("n1", NODE.addresses), ("n2", ()))
    }
    homes = {a: pod.node for pod in snapshot.pods.values() for a in pod.addresses}
    for flow in flows_of(snapshot, seed):
        expected = evaluate(snapshot, flow)
        source, destination = homes.get(flow.source, "n1"), homes.get(flow.destination, "n1")
        egress = by_node[source].verdict(flow).egress
        ingress = by_node[destination].verdict(flow).ingress
        assert (egress.outcome, ingress.outcome) == outcomes(expected), flow


@settings(crowded, max_examples=60)
@given(snapshots(), st.integers(0, 2**32))
def test_explanation_agrees_with_reference_and_names_the_same_rules(snapshot, seed):
    for flow in list(flows_of(snapshot, seed))[::5]:
        expected = evaluate(snapshot, flow)
        explained = explain(snapshot, flow)
        assert explained.agrees
        assert (explained.egress.outcome, explained.ingress.outcome) == outcomes(expected)
        assert explained.admitted is expected.admitted
        for side, judgement in (
            (explained.egress, expected.egress),
            (explained.ingress, expected.ingress),
        ):
            if side.matches:
                assert tuple(match.text for match in side.matches) == judgement.reasons


def boxes_meet(first, second):
    same_family = first.family == second.family
    protocols_meet = ANY_PROTOCOL in (first.protocol, second.protocol) or (
        first.protocol == second.protocol
    )
    addresses_meet = first.low <= second.high and second.low <= first.high
    ports_meet = first.port_low <= second.port_high and second.port_low <= first.port_high
    return same_family and protocols_meet and addresses_meet and ports_meet


def holds(outer, inner):
    return (
        outer.family == inner.family
        and outer.protocol in (ANY_PROTOCOL, inner.protocol)
        and outer.low <= inner.low
        and inner.high <= outer.high
        and outer.port_low <= inner.port_low
        and inner.port_high <= outer.port_high
    )


def adjacent(first, second):
    """Two grants of the same kind that one grant could replace."""
    if first[0] != second[0] or first.protocol != second.protocol:
        return False
    same_ports = first[4:] == second[4:]
    same_peers = first[1:3] == second[1:3]
    return (same_peers and first.port_high + 1 == second.port_low) or (
        same_ports and first.high + 1 == second.low
    )


def programs_of(snapshot):
    for program in compile_admission(snapshot, endpoints_of(snapshot)).programs.values():
        hosts = [grant for grant in program.grants if grant.low == grant.high]
        yield hosts, [grant for grant in program.grants if grant.low < grant.high]


@crowded
@given(snapshots())
def test_hosts_and_networks_are_each_disjoint_and_no_network_holds_a_host(snapshot):
    for hosts, networks in programs_of(snapshot):
        assert not any(boxes_meet(*pair) for pair in combinations(hosts, 2))
        assert not any(boxes_meet(*pair) for pair in combinations(networks, 2))
        assert not any(holds(network, host) for host, network in product(hosts, networks))


@crowded
@given(snapshots())
def test_what_can_merge_is_merged_except_hosts_by_address(snapshot):
    for hosts, networks in programs_of(snapshot):
        for first, second in product(networks, repeat=2):
            assert not adjacent(first, second)
        for first, second in product(hosts, repeat=2):
            assert not (first[1:3] == second[1:3] and adjacent(first, second))
        for grant in (*hosts, *networks):
            every_port = (grant.port_low, grant.port_high) == (0, 65535)
            assert every_port or grant.protocol != ANY_PROTOCOL


@crowded
@given(snapshots(), st.randoms(use_true_random=False))
def test_order_of_objects_and_rules_does_not_matter(snapshot, random):
    def shuffled(values):
        return tuple(random.sample(values, len(values)))

    def reordered_rule(rule):
        return type(rule)(
            None if rule.peers is None else shuffled(rule.peers),
            None if rule.ports is None else shuffled(rule.ports),
        )

    def reordered(policy):
        return structs.replace(
            policy,
            ingress=policy.ingress and shuffled(tuple(map(reordered_rule, policy.ingress))),
            egress=policy.egress and shuffled(tuple(map(reordered_rule, policy.egress))),
        )

    def reordered_all(policies):
        return {key: reordered(policy) for key, policy in shuffled(tuple(policies.items()))}

    other = structs.replace(
        snapshot,
        pods=dict(shuffled(tuple(snapshot.pods.items()))),
        policies={
            key: structs.replace(policy, pods=Selector(shuffled(policy.pods.requirements)))
            for key, policy in reordered_all(snapshot.policies).items()
        },
        operator_policies={
            key: structs.replace(policy, applied_to=shuffled(policy.applied_to))
            for key, policy in reordered_all(snapshot.operator_policies).items()
        },
    )
    endpoints = endpoints_of(snapshot)
    assert compile_admission(other, shuffled(endpoints)) == compile_admission(snapshot, endpoints)
