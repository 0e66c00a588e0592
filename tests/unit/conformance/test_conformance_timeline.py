"""Which packets are bound, by which states may have been in force when they were judged."""

import pytest

from romana.conformance.cases import Sides
from romana.conformance.timeline import Fault, Timeline, tally
from romana.lab.datagrams import Packet

OPEN, SHUT = Sides(ingress=True, egress=True), Sides(ingress=False, egress=True)
MUTE = Sides(ingress=True, egress=False)
FRESH, KEPT, HOME = 79, 82, 9


def packet(sent, arrived=None, port=FRESH):
    return Packet("a", "b", port, sent, arrived)


def timeline(*states):
    """States as (written, enforced, sides)."""
    made = Timeline({KEPT: HOME}, cut_s=5)
    for written, enforced, sides in states:
        by_pair = {("a", "b", port): sides for port in (FRESH, KEPT)}
        state = made.write(written, {**by_pair, ("b", "a", HOME): SHUT})
        if enforced is not None:
            made.enforce(state, enforced)
    return made


@pytest.mark.parametrize(
    ("states", "sent", "arrived", "expected"),
    [
        ([(0, 1, OPEN)], 2, 2.1, True),
        ([(0, 1, OPEN)], 2, None, True),
        ([(0, 1, SHUT)], 2, None, False),
        ([(0, 1, SHUT)], 2, 2.1, False),
        ([(0, 1, SHUT), (3, 4, OPEN)], 2, 2.1, False),  # before it was written
        ([(0, 1, SHUT), (3, 4, OPEN)], 3.5, 3.6, None),  # while it is written
        ([(0, 1, SHUT), (3, 4, OPEN)], 5, None, True),
        ([(0, 1, SHUT), (3, 4, OPEN)], 2.9, 3.1, None),  # perhaps judged after it was written
        ([(0, 1, OPEN), (3, 4, SHUT)], 2.5, None, None),  # lost, perhaps by the new state
        ([(0, 1, OPEN), (3, 4, SHUT)], 5, 5.1, False),
        ([(0, 1, OPEN), (3, None, SHUT)], 9, None, None),  # never known to be in force
        ([(0, 1, OPEN), (3, None, SHUT), (6, 7, OPEN)], 8, None, True),
        ([(0, 1, SHUT), (3, 4, SHUT)], 3.5, 3.6, False),  # both say no
        ([(0, 1, SHUT), (3, 4, MUTE)], 3.5, 3.6, None),  # of two hosts neither may say no
    ],
)
def test_a_packet_is_bound_where_all_possible_states_agree(states, sent, arrived, expected):
    assert timeline(*states).bound(packet(sent, arrived)) is expected


def test_a_connection_that_is_kept_is_cut_a_little_later():
    made = timeline((0, 1, OPEN), (3, 4, SHUT))
    assert made.bound(packet(6, 6.1, KEPT)) is None
    assert made.bound(packet(10, 10.1, KEPT)) is False
    assert made.closed_now(("a", "b", KEPT))


def test_a_kept_connection_that_is_closed_one_way_only_is_not_bound():
    made = Timeline({KEPT: HOME})
    state = made.write(0, {("a", "b", KEPT): SHUT, ("b", "a", HOME): OPEN})
    made.enforce(state, 1)
    assert made.bound(packet(9, 9.1, KEPT)) is None


def test_what_a_fault_explains_is_counted_and_all_else_is_wrong():
    made = timeline((0, 1, OPEN))
    lost = [packet(at) for at in (2, 4, 9)]
    found = tally(made, [*lost, packet(5, 5.1)], [Fault(since=3.5, until=4.5, loses=True)])
    assert (found.admitted, found.denied, found.explained) == (4, 0, 1)
    assert found.wrong == [lost[0], lost[2]]
    other = tally(made, lost, [Fault(since=0, until=9, admits=True)])
    assert other.wrong == lost
    pods = tally(made, lost, [Fault(since=0, until=9, loses=True, pod="c")])
    assert pods.wrong == lost
