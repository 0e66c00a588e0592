"""Lines of a report in columns. Pure: events in, words with their styles out."""

from __future__ import annotations

from collections.abc import Sequence

from installer.events import CheckResult, Outcome, ResourceResult, VersionChange

Part = tuple[str, str]
"""Words and their style."""
COLOURS: dict[Outcome, str] = {
    "ok": "green",
    "changed": "yellow",
    "failed": "bold red",
    "skipped": "cyan",
    "unreachable": "bold red",
}
_ARROW = " -> "
_RESOURCE = 49
"""Columns for a resource, where it needs no more and the terminal has them."""
_CHANGE = 24
"""Columns for its change, at least."""
_WHAT, _WHERE, _EXPECTED, _OBSERVED = 41, 12, 13, 14
FULL = 99
"""Columns of a check's line with what was expected; narrower terminals go without."""


def resource_line(event: ResourceResult, host_width: int, width: int | None) -> list[Part]:
    """A change, or a failure, of one resource.

    Args:
        event: what happened.
        host_width: columns for the host's name.
        width: of the terminal, whose lines are cut to fit; None to cut nothing.
    """
    head = f"  {event.host:{host_width}}  "
    change = f"{event.before}{_ARROW}{event.after}" if event.after else ""
    change += f", since {minute(event.since)}" if event.since else ""
    if event.outcome != "changed":
        change = f"{change}  {event.outcome}".strip()
    name, column = event.resource, _RESOURCE
    if width is not None:
        room = max(0, width - len(head) - 2)
        column = max(0, min(_RESOURCE, room - _CHANGE))
        name = _cut(name, max(column, room - len(change)))
        change = _cut(change, room - max(len(name), column))
    style = COLOURS[event.outcome]
    return [
        (head, ""),
        (f"{name:{column}}" if change else name, style),
        (f"  {change}" if change else "", "dim" if event.outcome == "changed" else style),
    ]


def minute(when: str) -> str:
    """A time as people read it: "2026-11-24 11:17 UTC"."""
    return f"{when[:16]} UTC"


def check_heading(width: int) -> list[Part]:
    """The columns' names of a report of checks."""
    return [(_check("", "what", "where", "expected", "observed", "took", width), "dim")]


def check_line(event: CheckResult, width: int) -> list[Part]:
    """One check of the smoke test. What was observed of a failed one may be long, and follows in
    `check_details`."""
    observed = event.observed if event.passed else ""
    mark = "ok" if event.passed else "FAIL"
    text = _check(
        mark, _title(event), event.where, event.expected, observed, f"{event.seconds:.2f} s", width
    )
    return [(text[:4], "green" if event.passed else "bold red"), (text[4:], "")]


def check_details(event: CheckResult) -> list[str]:
    """What is told of a failed check below its line."""
    if event.passed:
        return []
    told = [f"expected {event.expected}, observed {event.observed}"]
    return [f"      {line}" for line in told + event.evidence.splitlines()]


def _check(
    mark: str, what: str, where: str, expected: str, observed: str, took: str, width: int
) -> str:
    expecting = f"  {expected:{_EXPECTED}}" if width >= FULL else ""
    return (
        f"{mark:4}  {what:{_WHAT}}  {where:{_WHERE}}{expecting}  {observed:{_OBSERVED}} {took:>6}"
    )


def _title(event: CheckResult) -> str:
    return event.name.removesuffix(f", {event.where}") if event.where else event.name


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def version_rows(changes: Sequence[VersionChange]) -> list[tuple[str, str, str, str, str]]:
    """Rows of a table: host, programs, from, to, and what that means for the host's pods. Programs
    of a host that go the same way are one row."""
    ways: dict[tuple[str, str, str], list[VersionChange]] = {}
    for change in changes:
        ways.setdefault((change.host, change.before, change.after), []).append(change)
    return [
        (
            host,
            ", ".join(change.program for change in same),
            before,
            after,
            "pods go elsewhere meanwhile" if any(change.drain for change in same) else "",
        )
        for (host, before, after), same in ways.items()
    ]
