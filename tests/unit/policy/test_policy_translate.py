"""From NetworkPolicy to Romana policy, and how operators see it."""

import json
from ipaddress import ip_network

import pytest

from romana.objects import (
    IPBlock,
    NetworkPolicy,
    Operator,
    PodPeer,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
)
from romana.policy.admission import Direction
from romana.policy.model import Entry, PodSet, PortRange, Rule
from romana.policy.translate import translate

TCP, UDP = Protocol.TCP, Protocol.UDP
BACKEND = Selector((Requirement("role", Operator.IN, ("backend",)),))
FRONTEND = Selector((Requirement("role", Operator.IN, ("frontend",)),))


def ingress_of(*rules):
    (translated,) = translate(NetworkPolicy(namespace="x", name="p", ingress=rules))
    return translated


def rules_of(*ports):
    (entry,) = ingress_of(PolicyRule(None, ports)).entries
    return entry.rules


@pytest.mark.parametrize(
    ("ingress", "egress", "expected"),
    [
        (None, None, ()),
        ((), None, ("kube.x.p.v1.ingress",)),
        (None, (), ("kube.x.p.v1.egress",)),
        ((), (), ("kube.x.p.v1.ingress", "kube.x.p.v1.egress")),
    ],
)
def test_one_policy_for_each_isolated_direction(ingress, egress, expected):
    found = translate(NetworkPolicy(namespace="x", name="p.v1", ingress=ingress, egress=egress))
    assert tuple(policy.name for policy in found) == expected
    assert all(policy.entries == () for policy in found)


def test_entries_stay_separate_and_in_order():
    first = PolicyRule((PodPeer(FRONTEND),), (PortMatch(TCP, 80),))
    second = PolicyRule((PodPeer(BACKEND, Selector()),), (PortMatch(TCP, 81),))
    assert ingress_of(first, second).entries == (
        Entry((PodSet(FRONTEND, "x"),), (Rule(TCP, (PortRange(80, 80),)),)),
        Entry((PodSet(BACKEND, None, Selector()),), (Rule(TCP, (PortRange(81, 81),)),)),
    )


def test_a_rule_without_lists_is_every_peer_and_every_protocol():
    assert ingress_of(PolicyRule()).entries == (Entry(None, (Rule(),)),)


def test_ports_are_grouped_by_protocol():
    ports = (PortMatch(TCP, 80), PortMatch(UDP, "dns"), PortMatch(TCP, 90, 99))
    assert rules_of(*ports) == (
        Rule(TCP, (PortRange(80, 80), PortRange(90, 99))),
        Rule(UDP, ("dns",)),
    )


def test_every_port_swallows_chosen_ones_of_its_protocol_only():
    ports = (PortMatch(TCP, 80), PortMatch(UDP, 53), PortMatch(TCP))
    assert rules_of(*ports) == (Rule(TCP, None), Rule(UDP, (PortRange(53, 53),)))


@pytest.mark.parametrize("port", [PortMatch(TCP, 90, 80), PortMatch(TCP, "web", 80)])
def test_a_range_the_api_refuses_admits_nothing_rather_than_everything(port):
    assert rules_of(port) == (Rule(TCP, ()),)


def test_a_rule_for_every_protocol_cannot_choose_ports():
    with pytest.raises(ValueError, match="cannot choose ports"):
        Rule(None, (PortRange(80, 80),))


def test_as_operators_see_it():
    block = IPBlock(ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"),))
    ports = (PortMatch(TCP, 80), PortMatch(TCP, "web"), PortMatch(TCP, 90, 99))
    policy = NetworkPolicy(
        namespace="x",
        name="pol1",
        uid="u1",
        pods=BACKEND,
        ingress=(PolicyRule((PodPeer(FRONTEND), block), ports),),
        egress=(PolicyRule(),),
    )
    ingress, egress = (each.as_json() for each in translate(policy))
    assert ingress == {
        "name": "kube.x.pol1.ingress",
        "direction": "ingress",
        "applied_to": [{"namespace": "x", "pods": {"matchLabels": {"role": "backend"}}}],
        "ingress": [
            {
                "peers": [
                    {"namespace": "x", "pods": {"matchLabels": {"role": "frontend"}}},
                    {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
                ],
                "rules": [{"protocol": "tcp", "ports": [80, "web"], "port_ranges": [[90, 99]]}],
            }
        ],
        "origin": {"kind": "NetworkPolicy", "namespace": "x", "name": "pol1", "uid": "u1"},
    }
    assert egress["direction"] == Direction.EGRESS.value
    assert egress["egress"] == [{"peers": [{"peer": "any"}], "rules": [{"protocol": "any"}]}]
    assert json.loads(json.dumps(ingress)) == ingress


def test_selectors_are_written_as_kubernetes_writes_them():
    selector = Selector(
        (
            Requirement("app", Operator.IN, ("a",)),
            Requirement("app", Operator.IN, ("b",)),
            Requirement("tier", Operator.NOT_IN, ("x", "y")),
            Requirement("zone", Operator.EXISTS),
        )
    )
    assert PodSet(selector, None, BACKEND).as_json() == {
        "namespaces": {"matchLabels": {"role": "backend"}},
        "pods": {
            "matchLabels": {"app": "a"},
            "matchExpressions": [
                {"key": "app", "operator": "In", "values": ["b"]},
                {"key": "tier", "operator": "NotIn", "values": ["x", "y"]},
                {"key": "zone", "operator": "Exists"},
            ],
        },
    }
