"""Which endpoints a change may have narrowed: only their connections are looked at."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from romana.agent.connections import gone, narrowed, turned
from romana.dataplane.conntrack import Connection
from romana.objects import (
    NetworkPolicy,
    Operator,
    Pod,
    PolicyRule,
    PortMatch,
    Protocol,
    Requirement,
    Selector,
    Snapshot,
)
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Flow,
    Grant,
    Program,
)
from romana.policy.compile import compile_admission
from romana.policy.judge import Judge

A, B = ip_address("10.0.0.1"), ip_address("10.0.0.2")
FEW = frozenset({Grant(4, 1, 1, 6, 80, 80)})
MANY = FEW | {Grant(4, 2, 2, 6, 80, 80)}


def admission(ingress=None, egress=None, *, names=("rom1",)):
    programs, chosen = {}, {}
    for direction, grants in ((Direction.INGRESS, ingress), (Direction.EGRESS, egress)):
        if grants is not None:
            name = chosen[direction] = f"p-{direction.value}"
            programs[name] = Program(name=name, direction=direction, policies=(), grants=grants)
    addresses = dict(zip(("rom1", "rom2"), (A, B), strict=True))
    return Admission(
        endpoints={
            name: EndpointPrograms(
                endpoint=Endpoint(interface=name, addresses=(addresses[name],), pod=("n", name)),
                ingress=chosen.get(Direction.INGRESS),
                egress=chosen.get(Direction.EGRESS),
            )
            for name in names
        },
        programs=programs,
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((None, None), (None, None), False),
        ((None, None), (FEW, None), True),
        ((None, None), (None, FEW), True),
        ((FEW, None), (None, None), False),
        ((FEW, FEW), (MANY, FEW), False),
        ((MANY, FEW), (FEW, FEW), True),
        ((FEW, MANY), (FEW, FEW), True),
        ((FEW, None), (frozenset(), None), True),
    ],
)
def test_narrowed(before, after, expected):
    assert narrowed(admission(*before), admission(*after)) == (
        frozenset({A}) if expected else frozenset()
    )


def test_new_endpoints_have_no_connections_and_gone_ones_lose_theirs():
    one, two = admission(FEW), admission(FEW, names=("rom1", "rom2"))
    assert narrowed(one, two) == frozenset()
    assert gone(one, two) == frozenset()
    assert gone(two, one) == {B}


def connection(source, source_port, destination, port, protocol=17):
    flow = Flow(source=source, destination=destination, protocol=protocol, port=port)
    return Connection(
        flow=flow, source_port=source_port, target=destination, target_port=port, key=b""
    )


def test_an_answer_that_began_a_connection_is_told_from_a_question():
    """This host's pod A may send nothing but to port 9, and is open; the peer B may send nothing at
    all. What A asked of B's port 82 while nobody judged must not go on as B's answers to it."""

    def app(name):
        return Selector((Requirement("app", Operator.IN, (name,)),))

    only = PolicyRule(None, (PortMatch(Protocol.UDP, 9, None),))
    snapshot = Snapshot(
        pods={
            ("n", name): Pod("n", name, labels={"app": name}, addresses=(address,), node=node)
            for name, address, node in (("a", A, "one"), ("b", B, "two"))
        },
        policies={
            ("n", name): NetworkPolicy(namespace="n", name=name, pods=which, egress=rules)
            for name, which, rules in (("a", app("a"), (only,)), ("b", app("b"), ()))
        },
    )
    local = Endpoint(interface="rom1", addresses=(A,), pod=("n", "a"))
    judge = Judge(compile_admission(snapshot, [local]))
    answer = connection(B, 82, A, 9)
    assert judge.verdict(answer.flow).admitted
    others = [
        connection(B, 9, A, 82),  # its answers are admitted as questions: it may be either
        connection(A, 5000, B, 9),
        connection(B, 82, A, 9, protocol=6),  # which conntrack tells apart
    ]
    assert list(turned([answer, *others], judge, snapshot)) == [answer]
