"""What happened, as small values. Console, JSON lines, log file and journal are observers; nothing
else prints.

The engine, the platforms, the artifacts and the smoke test call `emit`; an observer renders.
`as_json` is the public form of `--json`: one object a line, the event's type in `event`, times in
seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["ok", "changed", "failed", "skipped", "unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A command began: `mode` is check or apply."""

    command: str
    cluster: str
    mode: Literal["check", "apply"]
    hosts: tuple[str, ...]
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the operator should know, in one line: a choice that was made, a fallback, a
    warning. What is only for the log file (the output of commands) has the level debug, and may
    have many lines. `diff` is how something would differ, a unified diff or empty."""

    text: str
    level: Literal["debug", "info", "warning"] = "info"
    diff: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Something long moves on. `total` 0 means its end is unknown. `done` == `total` > 0 ends
    it."""

    what: str
    done: float
    total: float = 0
    unit: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChange:
    """A program of a host goes from one version to another; `drain`, whether the host's pods go
    elsewhere meanwhile."""

    host: str
    program: str
    before: str
    after: str
    drain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionChanges:
    """All versions that a run changes, told with its plan."""

    changes: tuple[VersionChange, ...]


Phase = Literal[
    "snapshot", "control-plane", "join", "cordon", "drain", "replace", "validate", "uncordon"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollOut:
    """A roll-out reached a phase on some hosts. `text` is what there is to say, in a line;
    `seconds`, how long it took where it has ended."""

    phase: Phase
    hosts: tuple[str, ...]
    text: str
    seconds: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStarted:
    """A role begins on some hosts."""

    role: str
    title: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceResult:
    """One resource of one host was compared (check) or brought about (apply). `before` and `after`
    are short; `diff` is a unified diff or empty, secrets already replaced by a digest. `since` is
    when check mode first found it to differ, UTC, "2026-11-24 11:17:17"."""

    host: str
    role: str
    resource: str
    outcome: Outcome
    before: str = ""
    after: str = ""
    diff: str = ""
    reason: str = ""
    seconds: float = 0
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFinished:
    """A role ended on one host."""

    role: str
    host: str
    outcome: Outcome
    changed: int = 0
    seconds: float = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check of the smoke test: `where` its ends were (part of the name as well), and how many
    `seconds` the change took to have its effect."""

    name: str
    expected: str
    observed: str
    passed: bool
    seconds: float = 0
    evidence: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that keeps a host (`where`) from being fit, and its remedy."""

    where: str
    what: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecap:
    """Counts for one host, as in Ansible's recap."""

    host: str
    ok: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    unreachable: int = 0
    round_trips: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recap:
    """The end of a run. `since` is when the oldest of the pending changes was first found, UTC;
    `certificates_end` is when the first of the cluster's certificates ends,
    UTC in ISO 8601; empty where no cluster was looked at."""

    hosts: tuple[HostRecap, ...]
    seconds: float
    pending: bool = False
    stopped: str = ""
    since: str = ""
    certificates_end: str = ""
    notes: tuple[str, ...] = field(default=())


Event = (
    RunStarted
    | Notice
    | Progress
    | VersionChanges
    | RollOut
    | RoleStarted
    | ResourceResult
    | RoleFinished
    | CheckResult
    | Finding
    | HostRecap
    | Recap
)
Emit = Callable[[Event], None]
"""Receives events, from any thread, in the order they happen for each host."""


def as_json(event: Event) -> dict[str, Any]:
    """The event as plain data for `--json`."""
    return {"event": type(event).__name__, **asdict(event)}
