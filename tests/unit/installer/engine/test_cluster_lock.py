"""Two operators at once: one works, the other is told who does; what a killed run left is no
obstacle to the next from the same place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from installer.engine.cluster_lock import PATH, Claim, held, place_of
from installer.errors import HostError, InstallerError
from installer.events import Notice

ANN = Claim(
    place="a1", owner="ann@desk, process 7", command="romana-install aws", since="2026-11-24 11:00"
)
BOB = Claim(
    place="b2", owner="bob@lap's top", command="romana-install aws", since="2026-11-24 11:05"
)


def told(events: list[Notice]) -> list[str]:
    return [event.text for event in events]


def test_whoever_comes_second_is_told_who_what_and_since_when(new_host):
    controllers = [new_host("c1"), new_host("c2")]
    events: list[Notice] = []
    with held(ANN, controllers, events.append):
        assert all(host.path(PATH).exists() for host in controllers)
        with (
            pytest.raises(InstallerError) as refused,
            held(BOB, controllers, events.append),
        ):
            pytest.fail("both have the lock")
        message = refused.value.message
        assert "ann@desk, process 7 (romana-install aws), since 2026-11-24 11:00 UTC" in message
        assert "second" in message
        assert "ago; nothing was changed" in message
        assert "--take-over" in refused.value.advice
    assert not any(host.path(PATH).exists() for host in controllers)
    with held(BOB, controllers, events.append):
        pass
    assert events == []


def test_a_lock_on_a_later_controller_frees_the_earlier_ones(new_host):
    first, second = new_host("c1"), new_host("c2")
    with held(ANN, [second], lambda _: None):
        with pytest.raises(InstallerError), held(BOB, [first, second], lambda _: None):
            pytest.fail("both have the lock")
        assert not first.path(PATH).exists()
        assert second.path(PATH).exists()


@pytest.fixture
def abandoned(host):
    """A controller with the lock of a run of Ann's that was killed."""
    with held(ANN, [host], lambda _: None):
        text = host.path(PATH).read_text()
    host.path(PATH).write_text(text)
    return host


def test_the_next_run_from_the_same_place_goes_on(abandoned):
    events: list[Notice] = []
    with held(replace(ANN, owner="ann@desk, process 9"), [abandoned], events.append):
        assert "process 9" in abandoned.path(PATH).read_text()
    assert not abandoned.path(PATH).exists()
    assert events == []


def test_another_takes_over_only_when_told_to_and_says_from_whom(abandoned):
    with pytest.raises(InstallerError), held(BOB, [abandoned], lambda _: None):
        pytest.fail("taken over without a word")
    assert "ann@desk" in abandoned.path(PATH).read_text()
    events: list[Notice] = []
    with held(BOB, [abandoned], events.append, take_over=True):
        assert "bob@lap's top" in abandoned.path(PATH).read_text()
    assert told(events) == [
        "node1: took the cluster's lock over from ann@desk, process 7 (romana-install aws)"
    ]
    assert not abandoned.path(PATH).exists()


def test_a_lock_that_was_taken_over_is_not_given_back_by_its_first_owner(host):
    with held(ANN, [host], lambda _: None):
        taken = host.path(PATH)
        taken.write_text(taken.read_text().replace('"a1"', '"b2"'))
    assert taken.exists()


def test_a_controller_lost_meanwhile_is_told(host):
    events: list[Notice] = []
    with held(ANN, [host], events.append):
        host.reachable = False
    assert len(events) == 1
    assert "could not be given back" in events[0].text


@pytest.mark.parametrize("content", ["", "{", '{"other": 1}'])
def test_a_lock_that_nobody_can_read_is_still_one(host, content):
    host.path(PATH).parent.mkdir(parents=True)
    host.path(PATH).write_text(content)
    with pytest.raises(InstallerError, match="somebody"), held(ANN, [host], lambda _: None):
        pytest.fail("taken")


def test_a_state_directory_knows_its_own_claims(tmp_path):
    word = place_of(tmp_path)
    assert len(word) == 16
    assert place_of(tmp_path) == word
    (tmp_path / "other").mkdir()
    assert place_of(tmp_path / "other") != word


def test_a_controller_that_cannot_keep_a_lock_is_an_error_of_its_own(host):
    host.path(PATH).parent.parent.mkdir(parents=True)
    host.path(PATH).parent.write_text("a file where the directory should be")
    with pytest.raises(HostError, match="node1: cannot be locked: mkdir"):
        held(ANN, [host], lambda _: None).__enter__()
