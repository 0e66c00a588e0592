"""Since when hosts differ from what is wanted of them: what a scheduled check finds each time would
otherwise be news each time.

Every run that compares a cluster notes in its state directory which resources differ, with the time
at which each was first found so. What has been mended is forgotten; what a run could not look at
(a host that does not answer, one that `--limit` leaves out) stays as it was last seen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from installer.engine.plan import Plan

FILE = "differences.json"
Place = tuple[str, str]
"""A host's name and a resource's id."""
Since = Mapping[Place, str]
"""When each was first found to differ: UTC, "2026-11-24 11:17:17"."""


def merged(
    known: Since, differing: Iterable[Place], looked_at: Collection[str], now: str
) -> dict[Place, str]:
    """What is known after one more look. Pure.

    Args:
        known: before it.
        differing: what it found.
        looked_at: names of the hosts that it has seen completely.
        now: when it was.
    """
    found = set(differing)
    kept = {
        place: since
        for place, since in known.items()
        if place in found or place[0] not in looked_at
    }
    return {**dict.fromkeys(found, now), **kept}


def differing(plan: Plan) -> list[Place]:
    """What a plan is to change."""
    return [(work.host, resource.id) for work in plan.works for resource, _ in work.changes]


def first(known: Since, places: Iterable[Place]) -> str:
    """Since when any of these differs; empty where none does."""
    return min((known[place] for place in places if place in known), default="")


def read(state: Path) -> dict[Place, str]:
    """What the state directory knows. A file that cannot be read is as good as none: the next look
    writes another."""
    try:
        entries = json.loads((state / FILE).read_text())
        return {(each["host"], each["resource"]): str(each["since"]) for each in entries}
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return {}


def observe(
    state: Path, differing: Iterable[Place], looked_at: Collection[str], now: str
) -> dict[Place, str]:
    """Takes note of a look at the cluster, where it has a state directory; returns what is known
    then.

    Raises:
        OSError: it cannot be written there.
    """
    before = read(state)
    after = merged(before, differing, looked_at, now)
    if after != before and state.is_dir():
        keys = ("host", "resource", "since")
        entries = [
            dict(zip(keys, (*place, since), strict=True)) for place, since in sorted(after.items())
        ]
        new = (state / FILE).with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(entries, indent=1) + "\n")
        new.replace(state / FILE)
    return after
