"""Since when a host differs: found once, it keeps its time until a look finds it mended."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.engine import drift

FILE, OTHER = ("n1", "file:/etc/a"), ("n2", "service:b")
HOSTS = {"n1", "n2"}


def test_a_difference_keeps_the_time_at_which_it_was_first_found(tmp_path: Path) -> None:
    drift.observe(tmp_path, [FILE], HOSTS, "1")
    later = drift.observe(tmp_path, [FILE, OTHER], HOSTS, "2")
    assert later == {FILE: "1", OTHER: "2"} == drift.read(tmp_path)
    assert drift.first(later, [FILE, OTHER]) == "1"
    assert drift.first(later, [OTHER]) == "2"
    assert drift.first(later, []) == ""
    assert (tmp_path / drift.FILE).stat().st_mode & 0o077 == 0


def test_what_was_mended_is_forgotten_and_begins_anew(tmp_path: Path) -> None:
    drift.observe(tmp_path, [FILE, OTHER], HOSTS, "1")
    assert drift.observe(tmp_path, [OTHER], HOSTS, "2") == {OTHER: "1"}
    assert drift.observe(tmp_path, [FILE, OTHER], HOSTS, "3") == {FILE: "3", OTHER: "1"}


def test_a_host_that_was_not_looked_at_stays_as_it_was_seen(tmp_path: Path) -> None:
    drift.observe(tmp_path, [FILE, OTHER], HOSTS, "1")
    assert drift.observe(tmp_path, [], {"n2"}, "2") == {FILE: "1"}


def test_nothing_new_writes_nothing_and_nothing_is_made_for_a_cluster_that_is_not_there(
    tmp_path: Path,
) -> None:
    assert drift.observe(tmp_path, [], HOSTS, "1") == {}
    assert list(tmp_path.iterdir()) == []
    assert drift.observe(tmp_path / "none", [FILE], HOSTS, "1") == {FILE: "1"}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"host": "n1"}]', "\0"])
def test_a_file_that_is_damaged_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / drift.FILE).write_text(text)
    assert drift.observe(tmp_path, [FILE], HOSTS, "1") == {FILE: "1"}
    assert json.loads((tmp_path / drift.FILE).read_text())[0]["since"] == "1"


PLACES = st.sampled_from([(host, name) for host in "abc" for name in ("x", "y")])


@given(st.lists(st.tuples(st.sets(PLACES), st.sets(st.sampled_from("abc")))))
def test_a_time_is_that_of_the_first_of_the_looks_without_interruption(
    looks: list[tuple[set[drift.Place], set[str]]],
) -> None:
    """Against the definition: the oldest look since the last one that saw the host without it."""
    known: drift.Since = {}
    seen = []
    for number, (found, hosts) in enumerate(looks):
        here = {place for place in found if place[0] in hosts}
        known = drift.merged(known, here, hosts, f"{number:04}")
        seen.append((here, hosts))
        for place in {(host, name) for host in "abc" for name in ("x", "y")}:
            at = [place in each for each, looked in seen if place[0] in looked]
            when = [n for n, (_, looked) in enumerate(seen) if place[0] in looked]
            run = 0
            while run < len(at) and at[-1 - run]:
                run += 1
            assert known.get(place) == (f"{when[len(at) - run]:04}" if run else None)
