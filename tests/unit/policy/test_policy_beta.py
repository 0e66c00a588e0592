"""Isolation as in Kubernetes 1.3: by the namespace's annotation, with policies that add to it."""

from ipaddress import ip_address

import pytest

from romana.objects import (
    DEFAULT_DENY_ANNOTATION,
    Namespace,
    NetworkPolicy,
    Node,
    Operator,
    Pod,
    PodPeer,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
    Snapshot,
)
from romana.policy.admission import Endpoint
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.explain import explain
from romana.policy.parties import flow_between
from romana.policy.translate import translate_all, translate_idle
from romana.policy.verdict import Outcome

OPEN, ADMITTED, DENIED, NODE = Outcome.OPEN, Outcome.ADMITTED, Outcome.DENIED, Outcome.NODE
OPEN_TEXT = "ingress of x/db: admitted: no policy isolates the pod in this direction"
ANNOTATION = f"annotation {DEFAULT_DENY_ANNOTATION} of namespace x"


def role(value):
    return Selector((Requirement("role", Operator.IN, (value,)),))


def pod(namespace, name, last, label):
    address = (ip_address(f"10.0.0.{last}"),)
    return Pod(namespace=namespace, name=name, labels={"role": label}, addresses=address, node="n")


PODS = (
    pod("x", "web", 1, "frontend"),
    pod("x", "db", 2, "backend"),
    pod("x", "other", 3, "other"),
    pod("y", "web", 4, "frontend"),
)
POL1 = NetworkPolicy(
    namespace="x",
    name="pol1",
    pods=role("backend"),
    ingress=(PolicyRule((PodPeer(role("frontend")),), (PortMatch(Protocol.TCP, 80),)),),
    beta=True,
)


def world(*policies, annotated=True):
    spaces = [
        Namespace("x", isolated_by=DEFAULT_DENY_ANNOTATION if annotated else ""),
        Namespace("y"),
    ]
    return Snapshot(
        namespaces={each.key: each for each in spaces},
        pods={each.key: each for each in PODS},
        policies={each.key: each for each in policies},
        nodes={("", "n"): Node("n", (ip_address("192.0.2.1"),))},
    )


def asked(snapshot, source, destination, port=80):
    """The explanation, which must be what reference and compiled form say too."""
    flow = flow_between(snapshot, source, destination, Protocol.TCP, port)
    explained = explain(snapshot, flow)
    assert explained.agrees
    assert explained.ingress.outcome is evaluate(snapshot, flow).ingress.outcome
    return explained.ingress


@pytest.mark.parametrize(
    ("policies", "annotated", "source", "destination", "port", "outcome"),
    [
        ((), False, "y/web", "x/db", 80, OPEN),
        ((), True, "x/web", "x/db", 80, DENIED),
        ((), True, "y/web", "x/db", 80, DENIED),
        ((), True, "192.0.2.1", "x/db", 80, NODE),
        ((), True, "x/db", "y/web", 80, OPEN),
        ((POL1,), False, "y/web", "x/db", 81, OPEN),
        ((POL1,), True, "x/web", "x/db", 80, ADMITTED),
        ((POL1,), True, "x/web", "x/db", 81, DENIED),
        ((POL1,), True, "x/other", "x/db", 80, DENIED),
        ((POL1,), True, "y/web", "x/db", 80, DENIED),
        ((POL1,), True, "x/web", "x/other", 80, DENIED),
    ],
)
def test_only_the_annotation_isolates(policies, annotated, source, destination, port, outcome):
    snapshot = world(*policies, annotated=annotated)
    assert asked(snapshot, source, destination, port).outcome is outcome


def test_without_the_annotation_it_adds_nothing_to_what_other_policies_admit():
    guard = NetworkPolicy(namespace="x", name="guard", ingress=())
    assert asked(world(POL1, guard, annotated=False), "x/web", "x/db").outcome is DENIED
    assert asked(world(POL1, guard), "x/web", "x/db").outcome is ADMITTED


def test_the_annotation_is_named_whether_it_is_there_or_missing():
    denied = asked(world(POL1), "y/web", "x/db")
    assert denied.text == (
        f"ingress of x/db: denied: isolated by {ANNOTATION}, NetworkPolicy x/pol1; no rule matched"
    )
    alone = asked(world(), "y/web", "x/db")
    assert alone.text == f"ingress of x/db: denied: isolated by {ANNOTATION}; no rule matched"
    idle = asked(world(POL1, annotated=False), "y/web", "x/db")
    assert idle.text == (
        f"{OPEN_TEXT} (NetworkPolicy x/pol1: says nothing, since the namespace has no annotation "
        f"{DEFAULT_DENY_ANNOTATION})"
    )
    guard = NetworkPolicy(namespace="x", name="guard", ingress=())
    closed = asked(world(POL1, guard, annotated=False), "x/web", "x/db")
    assert "no rule matched (NetworkPolicy x/pol1: says nothing" in closed.text
    assert closed.as_json()["idle"] == ["NetworkPolicy x/pol1"]
    assert asked(world(annotated=False), "y/web", "x/db").text == OPEN_TEXT


def test_the_annotation_is_a_policy_that_operators_see():
    assert [each.name for each in translate_all(world(POL1))] == [
        "namespace.x.ingress",
        "kube.x.pol1.ingress",
    ]
    idle = world(POL1, annotated=False)
    assert not list(translate_all(idle))
    assert [each.name for each in translate_idle(idle)] == ["kube.x.pol1.ingress"]
    assert not list(translate_idle(world(POL1)))


def test_endpoints_without_a_policy_share_the_namespaces_program():
    endpoints = [
        Endpoint(interface=each.name, addresses=each.addresses, pod=each.key) for each in PODS[:3]
    ]
    admission = compile_admission(world(POL1), endpoints)
    programs = {name: each.ingress for name, each in admission.endpoints.items()}
    assert programs["web"] == programs["other"] != programs["db"]
    closed = admission.programs[programs["web"]]
    assert closed.policies == (("x", DEFAULT_DENY_ANNOTATION),)
    assert not closed.grants
    assert all(each.egress is None for each in admission.endpoints.values())
