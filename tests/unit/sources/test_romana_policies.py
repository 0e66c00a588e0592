"""RomanaPolicy manifests: the schema, every fault with its path, nothing ever widened."""

from __future__ import annotations

from datetime import datetime, timezone
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from romana.objects import (
    IPBlock,
    Operator,
    OperatorPolicy,
    OperatorRule,
    PodGroup,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
)
from romana.policy.translate import translate
from romana.sources.errors import InvalidObject
from romana.sources.events import event_for
from romana.sources.files import read_content
from romana.sources.kinds import KINDS, ROMANA_POLICY
from romana.sources.romana_policies import read_romana_policy, romana_policy_from

TCP, UDP = Protocol.TCP, Protocol.UDP
ANY = {"peers": [{"peer": "any"}], "rules": [{"protocol": "any"}]}
TARGET = [{"tenant": "shop"}]
CRD = Path(__file__).parents[3] / "templates" / "network" / "romanapolicies.yaml"


def manifest(**spec):
    return {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"direction": "ingress", "applied_to": TARGET, **spec},
    }


def read(**spec):
    return romana_policy_from(manifest(**spec))


def with_peer(peer, direction="ingress"):
    entry = {"peers": [peer], "rules": [{"protocol": "any"}]}
    return manifest(direction=direction, **{direction: [entry]})


def with_rule(rule):
    return manifest(ingress=[{"peers": [{"peer": "any"}], "rules": [rule]}])


def faults(obj):
    return [str(each) for each in read_romana_policy(obj).faults]


def label(key, value):
    return Selector((Requirement(key, Operator.IN, (value,)),))


def test_the_whole_of_it():
    text = b"""
apiVersion: romana.io/v1
kind: RomanaPolicy
metadata: {name: web-to-db}
spec:
  description: the shop's front end reaches its database
  direction: ingress
  applied_to:
  - {tenant: shop, segment: backend}
  - namespaces: {matchLabels: {team: shop}}
    pods: {matchExpressions: [{key: role, operator: Exists}]}
  ingress:
  - peers:
    - {tenant: shop, segment: frontend}
    - {namespace: ops, pods: {matchLabels: {app: probe}}}
    - {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
    rules:
    - {protocol: tcp, ports: [5432, sql], port_ranges: [[6000, 6010]]}
    - {protocol: UDP}
  - peers: [{peer: any}]
    rules: [{protocol: any}]
"""
    ((kind, policy),) = read_content((0, 0, 0), text, "p.yaml").objects
    assert kind is ROMANA_POLICY
    role = Selector((Requirement("role", Operator.EXISTS),))
    assert policy == OperatorPolicy(
        name="web-to-db",
        applied_to=(
            PodGroup(namespace="shop", segment="backend"),
            PodGroup(role, None, label("team", "shop")),
        ),
        ingress=(
            OperatorRule(
                (
                    PodGroup(namespace="shop", segment="frontend"),
                    PodGroup(label("app", "probe"), "ops"),
                    IPBlock(ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"),)),
                ),
                (
                    PortMatch(TCP, 5432),
                    PortMatch(TCP, "sql"),
                    PortMatch(TCP, 6000, 6010),
                    PortMatch(UDP),
                ),
            ),
            OperatorRule(None, None),
        ),
    )


@pytest.mark.parametrize("entries", [{}, {"ingress": None}, {"ingress": []}])
def test_without_entries_it_admits_nothing(entries):
    assert (read(**entries).ingress, read(**entries).egress) == ((), None)


def test_every_pod_and_the_host_as_in_2016():
    host = {"peers": [{"peer": "host"}], "rules": [{"protocol": "TCP", "ports": [22]}]}
    found = read(applied_to=[{"dest": "local"}], ingress=[host])
    assert found.applied_to == (PodGroup(),)
    assert found.ingress == (OperatorRule((), (PortMatch(TCP, 22),)),)


BROKEN = [
    ({}, "spec: must be a mapping, is missing"),
    (manifest(direction="sideways"), "spec.direction: must be ingress or egress"),
    (manifest(egress=[ANY]), "spec.egress: the direction is ingress; write a policy for each"),
    (manifest(entries=[]), "spec.entries: is not a known key; known are"),
    (manifest(ingres=[]), "spec.ingres: is not a known key; did you mean `ingress`?"),
    (manifest(ingress={}), "spec.ingress: must be a list of entries"),
    (manifest(ingress=["x"]), "spec.ingress[0]: must be a mapping, is `x`"),
    (manifest(ingress=[{"rules": ANY["rules"]}]), "spec.ingress[0].peers: names nobody"),
    (manifest(ingress=[{**ANY, "peers": []}]), "spec.ingress[0].peers: names nobody"),
    (manifest(ingress=[{**ANY, "peers": {}}]), "spec.ingress[0].peers: must be a list"),
    (manifest(ingress=[{"peers": ANY["peers"]}]), "spec.ingress[0].rules: says no traffic"),
    (manifest(applied_to=[]), "spec.applied_to: names no pods"),
    (manifest(applied_to=None), "spec.applied_to: names no pods"),
    (manifest(applied_to=[{}]), "spec.applied_to[0]: must have one of tenant"),
    (manifest(applied_to=[{"segment": "a"}]), "spec.applied_to[0]: must have one of tenant"),
    (manifest(applied_to=[{"tenant": "a", "namespaces": {}}]), "applied_to[0]: must have one of"),
    (manifest(applied_to=[{"tenant": ""}]), "spec.applied_to[0].tenant: must be a name"),
    (manifest(applied_to=[{"tenant": "a", "segment": 3}]), "segment: must be a name, is `3`"),
    (manifest(applied_to=[{"tenant": "a", "segmnt": "b"}]), "did you mean `segment`?"),
    (manifest(applied_to=[{"dest": "host"}]), "applied_to[0].dest: hosts are not isolated"),
    (manifest(applied_to=[{"dest": "local", "tenant": "a"}]), "`dest` stands alone"),
    (manifest(applied_to=[{"peer": "any"}]), "spec.applied_to[0].peer: belongs in `peers`"),
    (manifest(applied_to=[{"cidr": "::/0"}]), "spec.applied_to[0].cidr: targets are pods"),
    (with_peer({"dest": "local"}), "spec.ingress[0].peers[0].dest: belongs in `applied_to`"),
    (with_peer({"peer": "local"}), "spec.ingress[0].peers[0].peer: pods move between hosts"),
    (with_peer({"peer": "host"}, "egress"), "spec.egress[0].peers[0].peer: hosts have addresses"),
    (with_peer({"peer": "all"}), "spec.ingress[0].peers[0].peer: must be any or host"),
    (with_peer({"peer": "any", "tenant": "a"}), "spec.ingress[0].peers[0]: `peer` stands alone"),
    (with_peer({"cidr": "10.0.0.0/33"}), "peers[0].cidr: `10.0.0.0/33` is not a prefix"),
    (with_peer({"cidr": 7}), "spec.ingress[0].peers[0].cidr: Expected `str`"),
    (with_peer({"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}), "peers[0].except[0]: 11.0.0.0/8"),
    (with_peer({"cidr": "10.0.0.0/8", "tenant": "a"}), "peers[0]: `cidr` stands alone"),
    (with_peer({"tenant": "a", "except": []}), "peers[0].except: goes with `cidr`"),
    (with_peer({"tenant": "a", "pods": {"app": "b"}}), "peers[0].pods: Object contains unknown"),
    (with_peer({"tenant": "a", "pods": None}), "spec.ingress[0].peers[0].pods: Expected"),
    (with_rule({"ports": [1]}), "spec.ingress[0].rules[0].protocol: must be any, tcp, udp, sctp"),
    (with_rule({"protocol": "icmp"}), "rules[0].protocol: ICMP cannot be judged by type"),
    (with_rule({"protocol": "any", "ports": [1]}), "rules[0].ports: a rule for every protocol"),
    (with_rule({"protocol": "tcp", "ports": [0]}), "rules[0].ports[0]: must be a port's name"),
    (with_rule({"protocol": "tcp", "ports": [True]}), "rules[0].ports[0]: must be a port's name"),
    (with_rule({"protocol": "tcp", "ports": ["80"]}), "rules[0].ports[0]: must be a port's name"),
    (with_rule({"protocol": "tcp", "ports": 80}), "rules[0].ports: must be a list"),
    (with_rule({"protocol": "tcp", "ports": []}), "rules[0].ports: names no port"),
    (
        with_rule({"protocol": "tcp", "port_ranges": [[2, 1]]}),
        "port_ranges[0]: must be [low, high]",
    ),
    (with_rule({"protocol": "tcp", "port_ranges": [7]}), "port_ranges[0]: must be [low, high]"),
    (with_rule({"protocol": "tcp", "is_stateful": False}), "is_stateful: every rule is stateful"),
    ({**manifest(), "metadata": {"name": "A_b"}}, "metadata.name: must be lower-case"),
]


@pytest.mark.parametrize(("obj", "message"), BROKEN)
def test_what_cannot_be_honoured_is_told_with_its_path(obj, message):
    assert any(message in each for each in faults(obj)), faults(obj)
    with pytest.raises(InvalidObject) as caught:
        romana_policy_from(obj)
    closed = caught.value.closed
    assert closed is None or not (closed.ingress or closed.egress)


def test_all_faults_are_told_at_once():
    broken = manifest(direction="in", applied_to=[{}], ingress=[{"peers": [{}], "rules": [{}]}])
    assert [each.partition(":")[0] for each in faults(broken)] == [
        "spec.applied_to[0]",
        "spec.direction",
        "spec.ingress[0].peers[0]",
        "spec.ingress[0].rules[0].protocol",
    ]
    with pytest.raises(InvalidObject, match=r"^RomanaPolicy p: spec.applied_to.*spec.direction: "):
        romana_policy_from(broken)


def test_entries_beside_a_broken_one_stay_in_force():
    with pytest.raises(InvalidObject) as caught:
        read(ingress=[ANY, {**ANY, "peers": [{"peer": "local"}]}])
    assert caught.value.closed.ingress == (OperatorRule(None, None),)
    assert caught.value.uid == "u"


def test_a_broken_target_is_its_whole_namespace_and_without_any_there_is_no_policy():
    with pytest.raises(InvalidObject) as caught:
        read(applied_to=[{"tenant": "shop", "segment": []}])
    assert caught.value.closed.applied_to == (PodGroup(namespace="shop"),)
    with pytest.raises(InvalidObject) as caught:
        read(applied_to=[{"namespaces": "shop"}])
    assert caught.value.closed is None


def test_its_event_is_where_kubectl_looks_for_cluster_wide_objects():
    with pytest.raises(InvalidObject) as caught:
        read(ingress=[{}])
    event = event_for(caught.value, "one", datetime(2026, 1, 2, tzinfo=timezone.utc))
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"] == {
        "apiVersion": "romana.io/v1",
        "kind": "RomanaPolicy",
        "namespace": "",
        "name": "p",
        "uid": "u",
    }


def test_a_direction_that_cannot_be_read_closes_both():
    with pytest.raises(InvalidObject) as caught:
        read(direction=None)
    assert (caught.value.closed.ingress, caught.value.closed.egress) == ((), ())


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_what_is_shown_can_be_written(direction):
    entry = {
        "peers": [{"tenant": "a", "segment": "s"}, {"cidr": "10.0.0.0/8"}],
        "rules": [{"protocol": "tcp", "ports": [80, "web"], "port_ranges": [[90, 99]]}],
    }
    policy = read(direction=direction, **{direction: [ANY, entry]})
    (shown,) = translate(policy)
    spec = {key: value for key, value in shown.as_json().items() if key not in ("name", "origin")}
    (again,) = translate(romana_policy_from({"metadata": {"name": "p", "uid": "u"}, "spec": spec}))
    assert again == shown


KEYS = (
    *("direction", "applied_to", "ingress", "egress", "peers", "rules", "peer", "dest", "cidr"),
    *("except", "tenant", "namespace", "namespaces", "segment", "pods", "matchLabels", "other"),
    *("protocol", "ports", "port_ranges", "icmp_type", "is_stateful"),
)
TEXTS = ("a", "any", "host", "local", "ingress", "tcp", "10.0.0.0/8")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON)
def test_whatever_is_written_is_a_policy_or_faults(spec):
    found = read_romana_policy({"metadata": {"name": "p"}, "spec": spec})
    assert found.faults or found.policy
    if found.policy is not None:
        assert found.policy.applied_to
        assert (found.policy.ingress, found.policy.egress) != (None, None)


def test_the_api_keeps_what_it_does_not_know_for_the_agent_to_refuse():
    def objects(schema):
        if schema.get("type") == "object":
            yield schema
        inner = [*schema.get("properties", {}).values(), schema.get("items")]
        for each in filter(None, inner):
            yield from objects(each)

    definition = yaml.safe_load(CRD.read_text())
    (version,) = definition["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert all(each.get("x-kubernetes-preserve-unknown-fields") for each in objects(spec))
    assert ROMANA_POLICY in KINDS
    assert ROMANA_POLICY.path == f"/apis/romana.io/v1/{definition['spec']['names']['plural']}"
