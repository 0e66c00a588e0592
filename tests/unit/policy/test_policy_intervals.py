"""Sets of integers as intervals, against sets of integers."""

from hypothesis import given
from hypothesis import strategies as st

from romana.policy.intervals import contains, subtract, union

LIMIT = 40
numbers = st.integers(0, LIMIT)
pairs = st.lists(st.tuples(numbers, numbers).map(lambda pair: tuple(sorted(pair))), max_size=8)


def members(intervals):
    return {number for low, high in intervals for number in range(low, high + 1)}


def assert_canonical(intervals):
    assert all(low <= high for low, high in intervals)
    for (_, high), (low, _) in zip(intervals, intervals[1:], strict=False):
        assert high + 1 < low


@given(pairs)
def test_union_holds_every_member_in_canonical_form(intervals):
    result = union(intervals)
    assert members(result) == members(intervals)
    assert_canonical(result)


@given(pairs, pairs)
def test_difference(first, second):
    result = subtract(union(first), union(second))
    assert members(result) == members(first) - members(second)
    assert_canonical(result)


@given(pairs, numbers)
def test_membership(intervals, number):
    assert contains(union(intervals), number) is (number in members(intervals))
