"""Netlink messages of a change: their bytes, their order, and what is left to nft."""

from dataclasses import replace

import pytest

from romana.dataplane import Renderer, Settings
from romana.dataplane.direct import MOST_ELEMENTS, orders
from romana.dataplane.elements import encodable, messages_of
from romana.dataplane.expressions import (
    DELETE_CHAIN,
    DELETE_RULE,
    DELETE_SET,
    NEW_CHAIN,
    NEW_RULE,
    NEW_SET,
)
from romana.dataplane.ruleset import Edit, Set
from romana.policy.admission import Admission, Direction, Grant, Program

NEW, DELETE = 0xA0C, 0xA0E
HTTP = Grant(4, 2**24, 2**24, 6, 80, 80)
OTHER = Grant(4, 2**24 + 1, 2**24 + 1, 6, 80, 80)


def table(*grants, name="p", settings=None):
    program = Program(name=name, direction=Direction.INGRESS, policies=(), grants=frozenset(grants))
    admission = Admission(programs={name: program})
    return Renderer(settings or Settings()).render(admission)


# Recorded from `nft --debug=mnl` 1.0.6: the keys behind their headers.
@pytest.mark.parametrize(
    ("kind", "element", "ends"),
    [
        (Set(type="ipv4_addr"), "10.0.0.1", ["0a000001"]),
        (
            Set(type="ipv4_addr . inet_proto", interval=True),
            "10.0.0.1-10.0.0.9 . 0-255",
            ["0a00000100000000", "0a000009ff000000"],
        ),
        (
            Set(type="ipv6_addr . inet_proto . inet_service"),
            "fd00::1 . 6 . 80",
            ["fd0000000000000000000000000000010600000000500000"],
        ),
        (
            Set(type="ipv4_addr . inet_proto . inet_service", interval=True),
            "10.0.0.1 . 6 . 80-90",
            ["0a0000010600000000500000", "0a00000106000000005a0000"],
        ),
        (
            Set(type="ifname . ipv4_addr", verdicts=True),
            '"rom012" . 10.0.0.1 : goto in-a',
            ["726f6d303132000000000000000000000a000001", "fffffffc", "696e2d6100"],
        ),
        (
            Set(type="ifname . ipv4_addr", verdicts=True),
            '"rom012" . 10.0.0.1 : return',
            ["726f6d303132000000000000000000000a000001", "fffffffb"],
        ),
    ],
)
def test_elements_are_encoded_as_nft_does(kind, element, ends):
    edit = Edit(name="s", kind=kind, deleted=frozenset(), added=frozenset((element,)))
    ((order, _, body),) = messages_of([edit])
    assert order == NEW
    at = 0
    for each in ends:
        at = body.index(bytes.fromhex(each), at) + 1
    first = bytes.fromhex(ends[0])
    start = body.index(first)
    assert int.from_bytes(body[start - 4 : start - 2], "little") == 4 + len(first)


def test_elements_go_before_others_come():
    kinds = [kind for kind, _, _ in orders(table(HTTP), table(OTHER))]
    assert kinds == [DELETE, NEW]


def test_what_is_referred_to_exists_first_and_goes_last():
    kinds = [kind for kind, _, _ in orders(table(HTTP, name="a"), table(HTTP, name="b"))]
    assert kinds == [
        NEW_CHAIN,
        NEW_SET,
        NEW,
        NEW_RULE,
        NEW_RULE,
        DELETE_RULE,
        DELETE_SET,
        DELETE_CHAIN,
    ]


def test_equal_tables_need_nothing():
    assert orders(table(HTTP), table(HTTP)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (table(HTTP), table(HTTP, settings=Settings(masquerade=False))),
        (table(HTTP), replace(table(HTTP), counters=frozenset())),
        (table(HTTP), table(*(HTTP._replace(port_low=n, port_high=n) for n in range(30000)))),
    ],
    ids=["a base chain", "a counter", "very much"],
)
def test_the_rest_is_left_to_nft(old, new):
    assert MOST_ELEMENTS < 30000
    assert orders(old, new) is None


def test_a_single_field_of_intervals_is_left_to_nft():
    assert not encodable(Set(type="ipv4_addr", interval=True))
    assert encodable(Set(type="ipv4_addr"))
    assert not encodable(Set(type="ether_addr"))
