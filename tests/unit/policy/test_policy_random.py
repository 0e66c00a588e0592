"""Random clusters, policies, flows: the reference, the compiled form and the explanation agree."""

from itertools import combinations, product
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from objects_by_chance import NODE, OUTSIDE, PORTS, endpoints_of, snapshots

from romana.objects import Selector
from romana.policy.admission import ANY_PROTOCOL, Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.explain import explain
from romana.policy.judge import Judge

PROTOCOL_NUMBERS = (1, 6, 17, 132)

crowded = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
