"""Which endpoints a change may have narrowed: only their connections are looked at."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from romana.agent.connections import gone, narrowed
from romana.policy.admission import Admission, Direction, Endpoint, EndpointPrograms, Grant, Program

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
