"""How many nodes at once, and which: never none, never all, and those that are down count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.errors import InstallerError
from installer.upgrade.batches import DEFAULT, Batch, Node, NoRoom, next_batch, parse


def nodes(text):
    """Of "a b! c": b is down; "a@z" is in zone z."""
    found = []
    for word in text.split():
        name, _, zone = word.rstrip("!").partition("@")
        found.append(Node(name=name, zone=zone, down=word.endswith("!")))
    return tuple(found)


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("20%", 1, 1),
        ("20%", 2, 1),
        ("20%", 4, 1),
        ("20%", 10, 2),
        ("20%", 14, 2),
        ("100%", 3, 2),
        ("5", 3, 2),
        ("5", 1, 1),
        ("1", 100, 1),
        ("1%", 50, 1),
    ],
)
def test_how_many_may_be_down(text, count, expected):
    assert parse(text).of(count) == expected


@given(st.integers(1, 200), st.booleans(), st.integers(1, 500))
def test_never_none_and_never_all(amount, percent, count):
    size = Batch(amount=amount, percent=percent).of(count)
    assert size >= 1
    assert size < count or count == 1


@pytest.mark.parametrize("text", ["", "0", "0%", "-1", "101%", "half", "20 %", "2.5"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(InstallerError, match="is no number of nodes"):
        parse(text)


@pytest.mark.parametrize(
    ("outdated", "others", "batch", "canary", "expected"),
    [
        ("a b c d e f g h i j", "", "20%", True, "a"),
        ("b c d e f g h i j", "a", "20%", False, "b c"),
        ("j", "a b c d e f g h i", "20%", False, "j"),
        # One down elsewhere takes one place.
        ("b c d e f g h i j", "a!", "20%", False, "b"),
        # One that is down anyway comes first, and counts.
        ("b c! d e f g h i j", "a", "20%", False, "c b"),
        ("b c! d! e f g h i j", "a", "20%", False, "c d"),
        ("b c! d! e! f g h i j", "a", "20%", False, "c d e"),
        ("a b! c", "", "1", True, "b"),
        # A batch hits one zone.
        ("a@1 b@2 c@1 d@2 e@1", "f g h i j", "3", False, "a c e"),
        ("a@1 b@2 c@1", "d e f g h i j", "3", False, "a c b"),
        ("a", "", "20%", True, "a"),
        ("a b", "", "2", False, "a"),
    ],
)
def test_which_come_next(outdated, others, batch, canary, expected):
    found = next_batch(nodes(outdated), nodes(others), parse(batch), canary=canary)
    assert found == tuple(expected.split())


def test_where_too_many_are_down_elsewhere_nothing_more_is_taken_down():
    with pytest.raises(NoRoom) as refused:
        next_batch(nodes("b c"), nodes("a! x!"), parse(DEFAULT), canary=True)
    assert refused.value.message == (
        "a, x are down already, and 20% of 4 nodes allows no more than 1"
    )


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 100), st.data())
def test_a_whole_roll_out_ends_and_never_has_more_down_than_allowed(downs, percent, data):
    batch = Batch(amount=percent, percent=True)
    left = [Node(name=str(number), down=down) for number, down in enumerate(downs)]
    done: list[Node] = []
    total, rounds = len(left), 0
    while left:
        names = next_batch(left, done, batch, canary=not done)
        assert names
        taken = [node for node in left if node.name in names]
        before = sum(node.down for node in left)
        up = [node for node in taken if not node.down]
        assert not up or before + len(up) <= batch.of(total)
        left = [node for node in left if node not in taken]
        done += [Node(name=node.name) for node in taken]
        rounds += 1
    assert rounds <= total
