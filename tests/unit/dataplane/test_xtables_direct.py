"""Netlink messages of sets: their bytes, what is put together, and what the kernel must be."""

import struct

import pytest

from romana.dataplane.messages import attribute, attributes
from romana.dataplane.xtables.direct import (
    ADD,
    CHUNK,
    CREATE,
    DELETE,
    DESTROY,
    deleting,
    has_revision,
    orders,
    protocol_question,
    speaks,
    subject,
    type_question,
)

NAMED = "02000000" + "0500010006000000" + "0600020041000000"
"""Header, protocol 6, and the name A."""
LINE = "0800090000000000"


# What ipset 7.17 sent, as strace shows it, with protocol 6, without numbers of lines, and of the
# types' revisions the first that serve.
@pytest.mark.parametrize(
    ("line", "kind", "flags", "sent"),
    [
        (
            "create A hash:ip family inet hashsize 64 maxelem 4194304",
            CREATE,
            0x600,
            "0c000300686173683a697000"
            "0500040000000000"
            "0500050002000000"
            "14000780" + "0800124000000040" + "0800134000400000",
        ),
        (
            "create A hash:net,port family inet6 hashsize 64 maxelem 4194304",
            CREATE,
            0x600,
            "12000300686173683a6e65742c706f7274000000"
            "0500040001000000"
            "050005000a000000"
            "14000780" + "0800124000000040" + "0800134000400000",
        ),
        (
            "create A hash:net,iface family inet hashsize 64 maxelem 4194304 counters",
            CREATE,
            0x600,
            "13000300686173683a6e65742c69666163650000"
            "0500040003000000"
            "0500050002000000"
            "1c000780" + "0800084000000008" + "0800124000000040" + "0800134000400000",
        ),
        (
            "add A 10.0.0.1,rom1",
            ADD,
            0x200,
            LINE
            + "20000880"
            + "1c000780"
            + "0c000180"
            + "080001400a000001"
            + "09001700726f6d3100000000",
        ),
        ("destroy A", DESTROY, 0, ""),
        (
            "add A 10.0.0.1",
            ADD,
            0x200,
            LINE + "14000880" + "10000780" + "0c000180" + "080001400a000001",
        ),
        (
            "add A fd00::/64,sctp:80",
            ADD,
            0x200,
            LINE
            + "38000880"
            + "34000780"
            + "18000180"
            + "14000240fd000000000000000000000000000000"
            + "0500030040000000"
            + "0600044000500000"
            + "0500070084000000",
        ),
        (
            "del A 10.0.0.1,tcp:443",
            DELETE,
            0x200,
            LINE
            + "24000880"
            + "20000780"
            + "0c000180"
            + "080001400a000001"
            + "0600044001bb0000"
            + "0500070006000000",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_a_line_is_what_the_program_would_send(line, kind, flags, sent):
    ((made, with_flags, body),) = orders([line])
    assert (made, with_flags, body.hex()) == (kind, flags, NAMED + sent)


def test_lines_that_follow_each_other_are_one_message():
    lines = [
        "add A 10.0.0.1",
        "add A 10.0.0.2",
        "add B 10.0.0.1",
        "add A 10.0.0.3",
        "del A 10.0.0.1",
    ]
    made = list(orders(lines))
    assert [(each[0], subject(each)) for each in made] == [
        (ADD, "A"),
        (ADD, "B"),
        (ADD, "A"),
        (DELETE, "A"),
    ]
    assert [deleting(each) for each in made] == [False, False, False, True]
    assert len(made[0][2]) == len(made[1][2]) + 16


def test_a_message_is_no_longer_than_its_attributes_can_tell():
    lines = [f"add A fd00::{at:x}/128,sctp:80" for at in range(CHUNK + 1)]
    first, second = orders(lines)
    assert len(first[2]) < 2**16
    assert len(second[2]) < 200
    lengths = [struct.unpack_from("=HH", first[2], len(bytes.fromhex(NAMED + LINE)))]
    assert lengths == [(4 + CHUNK * 52, 0x8008)]


def test_undoing_forgives_what_is_not_there():
    assert [flags for _, flags, _ in orders(["add A 10.0.0.1", "del B 10.0.0.1"], exist=True)] == [
        0,
        0,
    ]


def test_another_line_is_refused():
    with pytest.raises(ValueError, match="`swap` is not known"):
        list(orders(["swap A B"]))


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [(6, None, True), (7, 6, True), (7, 7, False), (8, 7, False), (5, None, False)],
)
def test_protocol_6_is_spoken_or_nothing(newest, oldest, spoken):
    answer = bytes(4) + attribute(1, bytes((newest,)))
    if oldest is not None:
        answer += attribute(10, bytes((oldest,)))
    assert speaks(answer) is spoken
    assert attributes(protocol_question(), 4) == {1: b"\6"}


@pytest.mark.parametrize(
    ("name", "oldest", "newest", "has"),
    [
        ("hash:ip", 0, 0, True),
        ("hash:ip", 0, 6, True),
        ("hash:net,port", 0, 0, False),
        ("hash:net,port", 0, 3, True),
        ("hash:net,port", 2, 8, False),
    ],
)
def test_a_type_without_our_revision_is_not_ours(name, oldest, newest, has):
    answer = bytes(4) + attribute(4, bytes((newest,))) + attribute(10, bytes((oldest,)))
    assert has_revision(name, answer) is has
    assert attributes(type_question(name), 4)[3] == name.encode() + b"\0"
