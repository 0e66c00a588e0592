"""What is written on the command line, and what makes no sense there."""

import pytest

from romana.bench.amounts import names, policy_counts, size_text, sizes
from romana.bench.errors import BenchError
from romana.bench.workload import MOST_POLICIES


def test_counts_and_sizes_are_read_in_order():
    assert policy_counts("200, 0,10") == (0, 10, 200)
    assert sizes("1M,0.5k,.25k,100,10K") == (100, 256, 512, 10240, 2**20)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (512, ".5k"),
        (1024, "1k"),
        (1536, "1.5k"),
        (2**20, "1M"),
        (1000, "1000"),
        (100 * 1024, "100k"),
    ],
)
def test_sizes_are_written_as_they_are_read(size, text):
    assert size_text(size) == text
    assert sizes(text) == (size,)


@pytest.mark.parametrize(
    ("read", "text", "word"),
    [
        (policy_counts, "", "(nothing)"),
        (policy_counts, "0,,1", "(nothing)"),
        (policy_counts, "-1", "-1"),
        (policy_counts, "1e3", "1e3"),
        (policy_counts, "10,10", "twice"),
        (policy_counts, str(MOST_POLICIES + 1), "at most"),
        (sizes, "0", "from 1 to 16M"),
        (sizes, "0.3", "whole bytes"),
        (sizes, "17M", "from 1 to 16M"),
        (sizes, "1G", "1G"),
        (sizes, "big", "big"),
        (sizes, "1k,1024", "twice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(read, text, word):
    with pytest.raises(BenchError) as caught:
        read(text)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_must_be_known():
    assert names("b,a", ("a", "b", "c"), "--backends") == ("b", "a")
    with pytest.raises(BenchError, match="--backends d: choose from a, b, c"):
        names("a,d", ("a", "b", "c"), "--backends")
