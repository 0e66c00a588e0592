"""Decides how etcd's members become the controllers of the inventory. Pure.

The rules, in their order:

- A cluster begins as one member; all others join it, one at a time, as learners, which hold a copy
  and have no vote until they have caught up. So no step ever needs an answer of a member that has
  no data yet (https://etcd.io/docs/v3.4/learning/design-learner/).
- Members that are dead and not wanted go first: each counts towards the majority that the living
  have to reach.
- Members that live and are not wanted go last, when those that take their place have their votes.
- A step after which fewer than a majority would be alive is refused, before anything is done.
- Where data should be and nobody has them, nothing begins: an empty cluster in the place of a full
  one would look like success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from installer.errors import InstallerError

BEGIN = "begin"
JOIN = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member as etcd lists it. `id` is in hexadecimal; `name` is empty until it has started for
    the first time; `peer` is its URL for other members. A learner does not vote."""

    id: str
    name: str
    peer: str
    votes: bool = True
    alive: bool = True

    @property
    def called(self) -> str:
        """For people."""
        return self.name or self.peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a controller's host says of etcd.

    Args:
        data: it holds a member's data.
        told: how it was told to begin, empty where it was not: "begin", or "join" and a mark.
        healthy: its member answers, and there is a leader.
        members: as its member lists them; empty where it does not answer.
    """

    data: bool = False
    told: str = ""
    healthy: bool = False
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What has to happen. Controllers that are not named stay what they are.

    Args:
        begins: the controller that begins a new cluster, or nothing.
        joins: controllers that join, each empty-handed.
        mark: by which a join of this run is known from an earlier one.
        lost: members to remove before anybody joins.
        leaving: members to remove when everything else is done.
        through: controllers that can be asked about members, the surest first; the first of them
            does the removing.
    """

    begins: str = ""
    joins: tuple[str, ...] = ()
    mark: str = ""
    lost: tuple[Member, ...] = ()
    leaving: tuple[Member, ...] = ()
    through: tuple[str, ...] = ()


def decide(
    wanted: Mapping[str, str], seen: Mapping[str, Seen], *, exists: bool, mark: str
) -> Membership:
    """How the members become the wanted ones.

    Args:
        wanted: the peer URL of each controller by name, in the inventory's order.
        seen: what those of them say that can be reached.
        exists: whether the cluster has been installed before.
        mark: any word that no earlier run had.

    Raises:
        InstallerError: it would lose the majority, or the data; says what to do instead.
    """
    healthy = [name for name in wanted if name in seen and seen[name].healthy]
    if not healthy:
        return _asleep(wanted, seen, exists=exists, mark=mark)
    members = seen[healthy[0]].members
    placed = _placed(wanted, seen, members)
    kept = {member.id for member in placed.values()}
    joins = tuple(name for name in wanted if name in seen and name not in placed)
    unwanted = [member for member in members if member.id not in kept]
    first = {
        member.id
        for member in unwanted
        # One with the name or the address of a newcomer has to make room for it.
        if not member.alive or member.name in joins or member.peer in map(wanted.get, joins)
    }
    lost = tuple(member for member in unwanted if member.id in first)
    leaving = tuple(member for member in unwanted if member.id not in first)
    _require_majority(members, lost, joins, leaving)
    return Membership(
        joins=joins, mark=mark, lost=lost, leaving=leaving, through=_through(healthy, placed)
    )


def _placed(
    wanted: Mapping[str, str], seen: Mapping[str, Seen], members: Iterable[Member]
) -> dict[str, Member]:
    """The controllers that are members, or are about to become what they were told."""
    found = {}
    by_peer = {member.peer: member for member in members}
    for name, peer in wanted.items():
        if peer not in by_peer:
            continue
        # Of one that cannot be reached, the list is all that is known.
        if name not in seen or seen[name].data or seen[name].told:
            found[name] = by_peer[peer]
    return found


def _through(healthy: Iterable[str], placed: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*healthy, *placed)))


def _asleep(
    wanted: Mapping[str, str], seen: Mapping[str, Seen], *, exists: bool, mark: str
) -> Membership:
    """Nobody answers: nothing has begun yet, or all have stopped and will start."""
    holding = [name for name in wanted if name in seen and seen[name].data]
    if not holding:
        return _beginning(wanted, seen, exists=exists, mark=mark)
    listed = next((seen[name].members for name in holding if seen[name].members), ())
    peers = {wanted[name] for name in holding}
    voters = [member for member in listed if member.votes]
    could = [member for member in voters if member.peer in peers]
    if voters and len(could) < _majority(len(voters)):
        gone = ", ".join(member.called for member in voters if member not in could)
        raise InstallerError(
            f"etcd has lost its majority: {len(could)} of its {len(voters)} members can be reached",
            f"bring {gone} back, or rebuild the control plane from a backup: "
            "romana-install restore FILE",
        )
    told = [name for name in wanted if name in seen and seen[name].told]
    settled = {*holding, *told}
    joins = tuple(name for name in wanted if name in seen and name not in settled)
    return Membership(joins=joins, mark=mark, through=tuple(holding))


def _beginning(
    wanted: Mapping[str, str], seen: Mapping[str, Seen], *, exists: bool, mark: str
) -> Membership:
    """Nobody that can be reached has data."""
    if exists:
        missing = [name for name in wanted if name not in seen]
        back = f"bring {', '.join(missing)} back, " if missing else ""
        raise InstallerError(
            "no controller that can be reached holds the cluster's data; nothing was changed",
            f"{back}{'or ' if missing else ''}rebuild the control plane from a backup: "
            "romana-install restore FILE (for an empty cluster, destroy this one first)",
        )
    there = [name for name in wanted if name in seen]
    before = [name for name in there if seen[name].told == BEGIN]
    first = (before or there or [""])[0]
    joins = tuple(name for name in there if name != first)
    return Membership(begins=first, joins=joins, mark=mark, through=(first,) if first else ())


def _require_majority(
    members: Iterable[Member],
    lost: Iterable[Member],
    joins: Iterable[str],
    leaving: Iterable[Member],
) -> None:
    voters = {member.id: member.alive for member in members if member.votes}
    for member in lost:
        _remove(voters, member)
    voters |= dict.fromkeys(joins, True)
    for member in leaving:
        _remove(voters, member)


def _remove(voters: dict[str, bool], member: Member) -> None:
    if not voters.pop(member.id, False):
        return  # it had no vote, or is dead: the living have to reach no more without it
    alive = sum(voters.values())
    if alive < _majority(len(voters)):
        raise InstallerError(
            f"without {member.called} etcd would have {alive} of {len(voters)} members alive, too "
            f"few for a majority ({_majority(len(voters))}); nothing was changed",
            "first bring back, or replace, the members that are dead, and run again; one controller"
            " has to stay until others have joined",
        )


def _majority(voters: int) -> int:
    return voters // 2 + 1
