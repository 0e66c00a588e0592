"""Which members begin, join, and go; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from installer.errors import InstallerError
from installer.etcd import Member, Membership, Seen, decide
from installer.etcd.asking import read


def url(name: str) -> str:
    return f"https://{name}:2380"


def member(name: str, *, alive: bool = True, votes: bool = True) -> Member:
    return Member(id=f"id-{name}", name=name, peer=url(name), alive=alive, votes=votes)


def members(alive: str, dead: str = "") -> tuple[Member, ...]:
    return (
        *(member(name) for name in alive.split()),
        *(member(name, alive=False) for name in dead.split()),
    )


def healthy(listed: tuple[Member, ...]) -> Seen:
    return Seen(data=True, told="begin", healthy=True, members=listed)


NEW = Seen()
STOPPED = Seen(data=True)


def decided(wanted: str, seen: dict[str, Seen], *, exists: bool = True) -> Membership:
    peers = {name: url(name) for name in wanted.split()}
    return decide(peers, seen, exists=exists, mark="m")


def names(found: tuple[Member, ...]) -> list[str]:
    return [each.name for each in found]


def test_the_first_begins_and_the_others_join() -> None:
    found = decided("a b c", {"a": NEW, "b": NEW, "c": NEW}, exists=False)
    assert found == Membership(begins="a", joins=("b", "c"), mark="m", through=("a",))


def test_the_first_that_can_be_reached_begins() -> None:
    found = decided("a b c", {"b": NEW, "c": NEW}, exists=False)
    assert (found.begins, found.joins) == ("b", ("c",))


def test_one_that_was_told_to_begin_begins_also_where_it_is_not_the_first_any_more() -> None:
    told = Seen(told="begin")
    found = decided("a b", {"a": NEW, "b": told}, exists=False)
    assert (found.begins, found.joins) == ("b", ("a",))


def test_nothing_begins_where_a_cluster_was() -> None:
    with pytest.raises(InstallerError, match="no controller that can be reached holds") as refused:
        decided("a b c", {"a": NEW, "c": NEW})
    assert "bring b back" in refused.value.advice
    assert "restore FILE" in refused.value.advice


@pytest.mark.parametrize(
    ("wanted", "alive", "dead", "fresh", "joins", "lost", "leaving"),
    [
        ("a b c", "a b c", "", "", (), [], []),
        ("a b c", "a", "", "b c", ("b", "c"), [], []),
        ("b c d", "b c", "a", "d", ("d",), ["a"], []),
        ("a c d", "a c", "b", "d", ("d",), ["b"], []),
        ("b c d", "a b c", "", "d", ("d",), [], ["a"]),
        ("a", "a b c", "", "", (), [], ["b", "c"]),
        ("c", "a b c", "", "", (), [], ["a", "b"]),
        ("a d e", "a b c", "", "d e", ("d", "e"), [], ["b", "c"]),
        ("a b", "a b", "c", "", (), ["c"], []),
        ("d e a", "a b c", "", "d e", ("d", "e"), [], ["b", "c"]),
    ],
)
def test_members_become_the_controllers(
    wanted: str,
    alive: str,
    dead: str,
    fresh: str,
    joins: tuple[str, ...],
    lost: list[str],
    leaving: list[str],
) -> None:
    listed = members(alive, dead)
    there = {name: healthy(listed) for name in alive.split() if name in wanted.split()}
    found = decided(wanted, {**dict.fromkeys(fresh.split(), NEW), **there})
    assert found.joins == joins
    assert names(found.lost) == lost
    assert names(found.leaving) == leaving
    assert found.begins == ""
    assert found.through[0] in there


def test_one_that_lost_its_data_is_replaced_by_itself() -> None:
    listed = members("a b", "c")
    found = decided("a b c", {"a": healthy(listed), "b": healthy(listed), "c": NEW})
    assert (names(found.lost), found.joins) == (["c"], ("c",))


def test_one_that_cannot_be_reached_stays_a_member() -> None:
    listed = members("a b", "c")
    found = decided("a b c", {"a": healthy(listed), "b": healthy(listed)})
    assert found == Membership(mark="m", through=("a", "b", "c"))


def test_one_of_the_same_name_at_another_address_makes_room_first() -> None:
    old = replace(member("c", alive=False), peer=url("elsewhere"))
    listed = (*members("a b"), old)
    found = decided("a b c", {"a": healthy(listed), "b": healthy(listed), "c": NEW})
    assert (found.lost, found.joins) == ((old,), ("c",))


def test_one_that_was_let_go_and_has_old_data_joins_anew() -> None:
    listed = members("a b")
    seen = {"a": healthy(listed), "b": healthy(listed), "c": Seen(data=True, told="join 1")}
    assert decided("a b c", seen).joins == ("c",)


def test_one_that_was_told_to_join_and_has_not_started_is_left_to_it() -> None:
    waiting = Member(id="1", name="", peer=url("c"), votes=False, alive=False)
    listed = (*members("a b"), waiting)
    seen = {"a": healthy(listed), "b": healthy(listed), "c": Seen(told="join 1")}
    assert decided("a b c", seen) == Membership(mark="m", through=("a", "b", "c"))


@pytest.mark.parametrize(
    ("wanted", "alive", "dead", "what"),
    [
        # c is wanted and dead: without b, a would be one of two.
        ("a c", "a b", "c", "without b etcd would have 1 of 2"),
        ("a c d e", "a b e", "c d", "without b etcd would have 2 of 4"),
    ],
)
def test_a_step_that_loses_the_majority_is_refused(
    wanted: str, alive: str, dead: str, what: str
) -> None:
    listed = members(alive, dead)
    with pytest.raises(InstallerError, match=what) as refused:
        decided(wanted, {"a": healthy(listed)})
    assert "first bring back" in refused.value.advice


def test_a_single_member_is_not_moved_by_its_name() -> None:
    listed = (replace(member("a"), peer=url("elsewhere")),)
    with pytest.raises(InstallerError, match="without a etcd would have 0 of 0"):
        decided("b a", {"b": healthy(listed), "a": NEW})


def test_a_lost_majority_is_told_with_what_helps() -> None:
    listed = members("a", "b c")
    silent = Seen(data=True, members=listed)
    with pytest.raises(InstallerError, match="lost its majority: 1 of its 3 members") as refused:
        decided("a b c", {"a": silent})
    assert "bring b, c back" in refused.value.advice
    assert "restore FILE" in refused.value.advice


def test_members_that_have_all_stopped_just_start() -> None:
    seen = dict.fromkeys(("a", "b", "c"), STOPPED)
    assert decided("a b c", seen).joins == ()
    assert decided("a b c", {"a": STOPPED, "b": STOPPED}).begins == ""


def test_one_that_comes_to_members_that_sleep_joins_them() -> None:
    found = decided("a b", {"a": STOPPED, "b": NEW})
    assert (found.joins, found.through) == (("b",), ("a",))


ANSWER = "\n".join(
    (
        "told begin",
        "data yes",
        'health {"health":"true"}',
        "members "
        + json.dumps(
            {
                "header": {"member_id": 1},
                "members": [
                    {
                        "ID": 9372538179322589801,
                        "name": "a",
                        "peerURLs": ["https://198.18.0.10:2380"],
                        "clientURLs": ["https://198.18.0.10:2379"],
                    },
                    {"ID": 11, "peerURLs": ["https://198.18.0.11:2380"], "isLearner": True},
                ],
            }
        ),
        "alive "
        + json.dumps([{"endpoint": "https://198.18.0.10:2379", "health": True, "took": "5ms"}]),
    )
)


def test_an_answer_is_read() -> None:
    first = Member(id="8211f1d0f64f3269", name="a", peer="https://198.18.0.10:2380")
    second = Member(id="b", name="", peer="https://198.18.0.11:2380", votes=False, alive=False)
    assert read(ANSWER) == Seen(data=True, told="begin", healthy=True, members=(first, second))


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        ("", Seen()),
        ("told join 20261124-181500\n", Seen(told="join 20261124-181500")),
        ("data yes\nhealth \nmembers \nalive \n", Seen(data=True)),
        ('data yes\nhealth {"health":"false"}\nmembers {}\nalive null\n', Seen(data=True)),
    ],
)
def test_what_was_not_answered_is_left_out(output: str, seen: Seen) -> None:
    assert read(output) == seen
