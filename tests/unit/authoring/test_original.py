"""The JSON of Romana 0.9 and 2.0, and what went wrong with it there."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest

from romana.authoring.original import EVERY_POD, imported, is_original
from romana.objects import (
    IPBlock,
    Namespace,
    OperatorRule,
    Pod,
    PodGroup,
    PortMatch,
    Protocol,
    Snapshot,
)
from romana.policy.admission import Flow
from romana.policy.evaluate import evaluate
from romana.policy.explain import explain
from romana.policy.verdict import Outcome
from romana.sources.romana_policies import romana_policy_from

TCP = Protocol.TCP
BACKEND = {"tenant": "demo", "segment": "backend"}
FRONTEND = {"tenant": "demo", "segment": "frontend"}
WEB = {"protocol": "tcp", "ports": [80]}


def old(**changed):
    """A policy of 0.9."""
    return {
        "name": "pol1",
        "direction": "ingress",
        "applied_to": [BACKEND],
        "peers": [FRONTEND],
        "rules": [WEB],
        **changed,
    }


def new(*entries, **changed):
    """A policy of 2.0."""
    return {
        "id": "pol1",
        "direction": "ingress",
        "applied_to": [{"tenant_id": "demo", "segment_id": "backend"}],
        "ingress": list(entries),
        **changed,
    }


def one(document):
    (found,) = imported(document)
    return found


def read(document):
    found = one(document)
    assert found.faults == ()
    return romana_policy_from(found.manifest)


def faults(document):
    return [str(fault) for each in imported(document) for fault in each.faults]


@pytest.mark.parametrize(
    "document",
    [
        old(),
        {"securitypolicies": [old()]},
        [old()],
        old(rules=[{**WEB, "protocol": "TCP", "is_stateful": True}], external_id="9b1deb4d3b7d"),
        old(applied_to=[{**BACKEND, "tenant_id": 1, "segment_id": 2, "cidr": ""}]),
        new({"peers": [{"tenant_id": "demo", "segment_id": "frontend"}], "rules": [WEB]}),
        new({"peers": [FRONTEND], "rules": [WEB]}, applied_to=[BACKEND]),
    ],
)
def test_both_formats_say_the_same(document):
    assert is_original(json.loads(json.dumps(document)))
    policy = read(document)
    assert policy.name == "pol1"
    assert policy.applied_to == (PodGroup(namespace="demo", segment="backend"),)
    frontend = PodGroup(namespace="demo", segment="frontend")
    assert policy.ingress == (OperatorRule((frontend,), (PortMatch(TCP, 80),)),)
    assert policy.egress is None


def test_manifests_are_not_the_originals():
    assert not is_original({"kind": "RomanaPolicy", "applied_to": []})
    assert not is_original({"items": []})
    assert not is_original([])
    assert not is_original("x")


def test_the_operators_example_of_2016_admits_the_host_and_is_told_to_isolate_all():
    document = old(
        applied_to=[{"dest": "local"}],
        peers=[{"peer": "host"}],
        rules=[{"protocol": "TCP", "ports": [22]}],
    )
    assert one(document).notes == (EVERY_POD,)
    policy = read(document)
    assert policy.applied_to == (PodGroup(),)
    assert policy.ingress == (OperatorRule((), (PortMatch(TCP, 22),)),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("My Policy_1", "my-policy-1"), ("-x-", "x"), ("AllowAll_2_", "allowall-2")],
)
def test_names_become_those_that_kubernetes_takes(name, expected):
    found = one(old(name=name))
    assert found.manifest["metadata"]["name"] == expected
    assert found.notes == (f"`{name}` becomes `{expected}`",)


REFUSED = [
    (old(direction="egress"), "direction: 0.9 never enforced egress"),
    (new(direction="egress"), "direction: in 2.0 egress lists what is dropped"),
    (old(direction=None), "direction: must be ingress"),
    (old(name=None), "name: is missing"),
    (new(id="kube.demo.pol1.3f1c"), "id: was made from a NetworkPolicy"),
    (old(applied_to=[{"dest": "host"}]), "applied_to[0].dest: hosts are not isolated"),
    (old(peers=[{"peer": "local"}]), "peers[0].peer: pods move between hosts"),
    (old(peers=[{"dest": "local"}]), "peers[0].dest: belongs in `applied_to`"),
    (old(applied_to=[{"cidr": "10.0.0.0/8"}]), "applied_to[0].cidr: targets are pods"),
    (old(applied_to=[{"tenant_id": 7}]), "applied_to[0].tenant_id: is a number of the original's"),
    (old(peers=[{"tenant": "a", "segment_network_id": 3}]), "peers[0].segment_network_id: is a n"),
    (new({"peers": [{"tenant_external_id": "u"}], "rules": [WEB]}), "tenant_external_id: is a num"),
    (old(peers=[]), "peers: names nobody"),
    (old(rules=[]), "rules: says no traffic"),
    (old(peers=[{"tenant": "a", "tennant": "b"}]), "peers[0].tennant: is not a known key"),
    (old(priority=3), "document.priority: is not a known key"),
    ({"securitypolicies": [old(), old(rules=[{}])]}, "securitypolicies[1].rules[0].protocol: must"),
    ({"securitypolicies": ["x"]}, "securitypolicies[0]: must be a mapping"),
    (new({"peers": [FRONTEND]}), "ingress[0].rules: says no traffic"),
    (new({"peers": [FRONTEND], "rules": [WEB]}, peers=[]), "document.peers: is not a known key"),
]


@pytest.mark.parametrize(("document", "message"), REFUSED)
def test_what_cannot_be_honoured_is_refused_with_its_path(document, message):
    assert any(message in each for each in faults(document)), faults(document)


# Bugs of the original. Each is named by what it did.


def pod(namespace, name, last, segment):
    address = (ip_address(f"172.16.0.{last}"),)
    return Pod(
        namespace=namespace, name=name, labels={"romana.io/segment": segment}, addresses=address
    )


PODS = (
    pod("demo", "web", 1, "frontend"),
    pod("demo", "db", 2, "backend"),
    pod("demo", "other", 3, "other"),
    pod("open", "web", 4, "frontend"),
)


def admitted(documents, source, destination, port=80, protocol=6):
    policies = [read(each) for each in documents]
    spaces = [Namespace("demo"), Namespace("open")]
    world = Snapshot(
        namespaces={each.key: each for each in spaces},
        pods={each.key: each for each in PODS},
        operator_policies={each.key: each for each in policies},
    )
    addresses = {"/".join(each.key): each.addresses[0] for each in PODS}
    flow = Flow(
        source=addresses[source], destination=addresses[destination], protocol=protocol, port=port
    )
    explained = explain(world, flow)
    assert explained.agrees
    assert explained.ingress.outcome is evaluate(world, flow).ingress.outcome
    return explained.ingress.outcome is not Outcome.DENIED


def test_1_targets_were_matched_as_sources():
    """The destination was never checked: pods of other namespaces reached isolated ones, and the
    port that was opened for one segment was open on every pod."""
    other = old(
        name="other",
        applied_to=[{"tenant": "demo", "segment": "other"}],
        rules=[{"protocol": "tcp", "ports": [81]}],
    )
    assert admitted([old(), other], "demo/web", "demo/db")
    assert not admitted([old(), other], "open/web", "demo/db")
    assert not admitted([old(), other], "demo/web", "demo/other")
    assert not admitted([old(), other], "demo/web", "demo/db", 81)


def test_2_peers_of_another_tenant_were_impossible():
    document = old(peers=[{"tenant": "open", "segment": "frontend"}])
    assert admitted([document], "open/web", "demo/db")
    assert not admitted([document], "demo/web", "demo/db")


def test_3_only_10_0_0_0_8_could_be_the_pod_network():
    """The mask was made for /8; these pods are in 172.16.0.0/12, an example of the manual."""
    assert admitted([old(applied_to=[{"tenant": "demo"}])], "demo/web", "demo/db")
    assert not admitted([old(applied_to=[{"tenant": "demo"}])], "open/web", "demo/web")


def test_4_prefixes_as_peers_were_refused():
    policy = read(old(peers=[{"cidr": "172.16.0.4/32"}]))
    assert policy.ingress[0].peers == (IPBlock(ip_network("172.16.0.4/32")),)
    assert admitted([old(peers=[{"cidr": "172.16.0.4/32"}])], "open/web", "demo/db")


def test_5_only_the_first_range_of_ports_counted():
    ranges = old(
        rules=[{"protocol": "tcp", "port_ranges": [[10, 20], [30, 40]], "ports": [50, 60]}]
    )
    reached = [port for port in range(9, 62) if admitted([ranges], "demo/web", "demo/db", port)]
    assert reached == [*range(10, 21), *range(30, 41), 50, 60]


@pytest.mark.parametrize("key", ["icmp_type", "icmp_code"])
@pytest.mark.parametrize("value", [0, 8])
def test_5_type_0_was_taken_for_none_and_widened_to_any_icmp(key, value):
    found = faults(old(rules=[{"protocol": "icmp", key: value}]))
    assert any(each.startswith(f"rules[0].{key}: ICMP cannot be judged by type") for each in found)


def test_6_peers_of_one_entry_met_the_rules_of_another():
    document = new(
        {"peers": [FRONTEND], "rules": [WEB]},
        {"peers": [{"tenant": "open"}], "rules": [{"protocol": "tcp", "ports": [81]}]},
    )
    assert admitted([document], "demo/web", "demo/db", 80)
    assert admitted([document], "open/web", "demo/db", 81)
    assert not admitted([document], "demo/web", "demo/db", 81)
    assert not admitted([document], "open/web", "demo/db", 80)


def test_7_a_policy_with_an_equals_sign_was_cut_there():
    found = one(old(description="a=b=c"))
    assert found.manifest["spec"]["description"] == "a=b=c"
    assert found.faults == ()


def test_10_one_policy_that_denies_all_stopped_every_other():
    deny = new(id="deny", applied_to=[{"tenant_id": "demo", "segment_id": "other"}])
    assert admitted([old(), deny], "demo/web", "demo/db")
    assert not admitted([old(), deny], "demo/web", "demo/other")


def test_11_a_tenant_without_a_segment_is_meant_and_a_misspelt_one_is_refused():
    """An unsupported selector widened to the whole namespace without a word."""
    assert admitted([old(peers=[{"tenant": "demo"}])], "demo/other", "demo/db")
    assert faults(old(peers=[{"tenant": "demo", "segmnt": "frontend"}])) == [
        "peers[0].segmnt: is not a known key; did you mean `segment`?"
    ]
