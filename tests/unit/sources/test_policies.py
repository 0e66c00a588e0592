"""NetworkPolicy manifests: Kubernetes' defaults, and nothing ever widened."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romana.objects import IPBlock, Operator, PodPeer, PortMatch, Protocol, Requirement, Selector
from romana.sources.errors import InvalidObject
from romana.sources.wire import policy_from


def policy(spec, **metadata):
    return {"metadata": {"name": "p", "namespace": "n", **metadata}, "spec": spec}


def read(spec):
    return policy_from(policy(spec))


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ({"podSelector": {}}, 0, None),
        ({}, 0, None),
        ({"podSelector": None}, 0, None),
        ({"policyTypes": []}, 0, None),
        ({"policyTypes": None, "ingress": None}, 0, None),
        ({"egress": []}, 0, None),
        ({"egress": [{}]}, 0, 1),
        ({"ingress": [{}, {}]}, 2, None),
        ({"policyTypes": ["Egress"]}, None, 0),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, None, 0),
        ({"policyTypes": ["Egress", "Ingress"], "ingress": [{}], "egress": []}, 1, 0),
    ],
)
def test_directions_are_isolated_as_kubernetes_defaults_them(spec, ingress, egress):
    found = read(spec)
    assert (None if found.ingress is None else len(found.ingress)) == ingress
    assert (None if found.egress is None else len(found.egress)) == egress


@pytest.mark.parametrize("peers", [{}, {"from": None}, {"from": []}])
@pytest.mark.parametrize("ports", [{}, {"ports": None}, {"ports": []}])
def test_an_absent_or_empty_list_is_every_peer_and_every_port(peers, ports):
    (rule,) = read({"ingress": [{**peers, **ports}]}).ingress
    assert (rule.peers, rule.ports) == (None, None)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({"podSelector": {}}, PodPeer(Selector(), None)),
        ({"podSelector": {"matchLabels": None}}, PodPeer(Selector(), None)),
        ({"namespaceSelector": {}}, PodPeer(Selector(), Selector())),
        (
            {"podSelector": {"matchLabels": {"a": "b"}}, "namespaceSelector": {}},
            PodPeer(Selector((Requirement("a", Operator.IN, ("b",)),)), Selector()),
        ),
        (
            {"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.1.0.0/16"]}},
            IPBlock(ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"),)),
        ),
    ],
)
def test_peers(peer, expected):
    (rule,) = read({"ingress": [{"from": [peer]}]}).ingress
    assert rule.peers == (expected,)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({}, PortMatch(Protocol.TCP, None, None)),
        ({"port": 80}, PortMatch(Protocol.TCP, 80, None)),
        ({"protocol": "UDP", "port": "dns"}, PortMatch(Protocol.UDP, "dns", None)),
        ({"protocol": "SCTP"}, PortMatch(Protocol.SCTP, None, None)),
        ({"port": 80, "endPort": 90}, PortMatch(Protocol.TCP, 80, 90)),
        ({"port": 80, "endPort": 80}, PortMatch(Protocol.TCP, 80, 80)),
    ],
)
def test_ports(port, expected):
    (rule,) = read({"egress": [{"ports": [port]}]}).egress
    assert rule.ports == (expected,)


def test_selectors_that_mean_the_same_are_equal():
    one = {"matchLabels": {"b": "1", "a": "2"}}
    other = {
        "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["1"]},
            {"key": "a", "operator": "In", "values": ["2"]},
        ]
    }
    assert read({"podSelector": one}).pods == read({"podSelector": other}).pods


GOOD = {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}

BROKEN = [
    ({"ingress": [{"from": [{}]}]}, "spec.ingress[0].from[0]"),
    ({"ingress": [{"from": [{"fqdn": "a.b"}]}]}, "spec.ingress[0].from[0]"),
    ({"ingress": [{"form": []}]}, "spec.ingress[0]"),
    ({"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "::/0"}}]}]}, "ipBlock"),
    ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}, "ipBlock.cidr"),
    (
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]},
        "except[0]",
    ),
    (
        {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::/9"]}}]}]},
        "except[0]",
    ),
    ({"ingress": [{"ports": [{"protocol": "ICMP"}]}]}, "spec.ingress[0].ports[0].protocol"),
    ({"ingress": [{"ports": [{"port": 0}]}]}, "spec.ingress[0].ports[0].port"),
    ({"ingress": [{"ports": [{"port": 65536}]}]}, "spec.ingress[0].ports[0].port"),
    ({"ingress": [{"ports": [{"port": "80"}]}]}, "spec.ingress[0].ports[0].port"),
    ({"ingress": [{"ports": [{"endPort": 80}]}]}, "spec.ingress[0].ports[0].endPort"),
    ({"ingress": [{"ports": [{"port": "http", "endPort": 80}]}]}, "ports[0].endPort"),
    ({"ingress": [{"ports": [{"port": 90, "endPort": 80}]}]}, "ports[0].endPort"),
    ({"podSelector": {"matchLabels": {"a": 1}}}, "spec.podSelector.matchLabels"),
    ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}, "operator"),
    ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "values"),
    (
        {
            "podSelector": {
                "matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]
            }
        },
        "values",
    ),
    ({"policyTypes": ["Sideways"]}, "spec.policyTypes[0]"),
    ({"priority": 3}, "spec"),
    ({"egress": [{"to": "everybody"}]}, "spec.egress[0].to"),
]


@pytest.mark.parametrize(("spec", "field"), BROKEN)
def test_what_cannot_be_read_names_its_field_and_stays_closed(spec, field):
    with pytest.raises(InvalidObject) as caught:
        read(spec)
    error = caught.value
    assert field in error.field
    assert str(error).startswith("NetworkPolicy n/p: ")
    closed = error.closed
    assert closed is not None
    assert closed.key == ("n", "p")
    assert not closed.ingress
    assert not closed.egress
    assert (closed.ingress, closed.egress) != (None, None)


def test_rules_beside_a_broken_one_stay_in_force():
    with pytest.raises(InvalidObject) as caught:
        read({"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [GOOD, {"from": [{}]}, GOOD]})
    closed = caught.value.closed
    assert len(closed.ingress) == 2
    assert closed.pods == Selector((Requirement("a", Operator.IN, ("b",)),))
    assert closed.egress is None


def test_an_unreadable_selector_isolates_the_namespace():
    with pytest.raises(InvalidObject) as caught:
        read({"podSelector": {"matchLabels": 3}, "policyTypes": ["Ingress"], "ingress": [GOOD]})
    assert caught.value.closed.pods == Selector()


def test_an_unreadable_egress_without_types_isolates_egress():
    with pytest.raises(InvalidObject) as caught:
        read({"egress": [{"to": [{}]}]})
    assert caught.value.closed.egress == ()


@pytest.mark.parametrize(
    "manifest", [None, [], "x", {}, {"metadata": None}, {"metadata": {}, "spec": {}}]
)
def test_without_a_name_there_is_nothing_to_enforce(manifest):
    with pytest.raises(InvalidObject) as caught:
        policy_from(manifest)
    assert caught.value.closed is None


KEYS = (
    *("podSelector", "matchLabels", "matchExpressions", "key", "operator", "values", "other"),
    *("ingress", "egress", "from", "to", "ports", "port", "endPort", "protocol"),
    *("ipBlock", "cidr", "except", "policyTypes", "namespaceSelector"),
)
TEXTS = ("a", "In", "10.0.0.0/8", "TCP", "Egress")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)  # about what is read, not how fast
@given(JSON)
def test_whatever_is_written_is_a_policy_or_an_error_that_isolates(spec):
    try:
        found = read(spec)
    except InvalidObject as error:
        found = error.closed
    assert found is not None
    assert found.ingress is not None or found.egress is not None
