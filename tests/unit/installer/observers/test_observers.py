"""What is shown, written down and kept of events."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console as Rich

from installer.events import (
    CheckResult,
    Event,
    HostRecap,
    Notice,
    Progress,
    Recap,
    ResourceResult,
    RoleFinished,
    RoleStarted,
    RunStarted,
)
from installer.observers.console import LONGEST, Console
from installer.observers.jsonlines import JsonLines
from installer.observers.lines import Part, check_heading, check_line, resource_line
from installer.observers.log import KEPT, Log
from installer.observers.redaction import redacted
from installer.observers.tally import Tally

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----"


def shown(*events: Event, terminal: bool = False, diff: bool = False) -> str:
    stream = io.StringIO()
    rich = Rich(file=stream, force_terminal=terminal, width=100, color_system=None)
    console = Console(rich, diff=diff)
    console.open()
    for event in events:
        console(event)
    console.close()
    return stream.getvalue()


def result(outcome: str = "changed", **values: str) -> ResourceResult:
    given = {"host": "node1", "role": "base", "resource": "file:/etc/x[1]", **values}
    return ResourceResult(outcome=outcome, before="absent", after="abc", **given)  # type: ignore[arg-type]


def plain(*lines: list[Part]) -> list[str]:
    return ["".join(words for words, _ in parts) for parts in lines]


ROLE = RoleStarted(role="base", title="Prepare the system", hosts=("node1",))


def test_a_change_is_one_line_under_its_roles_title() -> None:
    assert shown(ROLE, result()) == (
        f"base  Prepare the system\n  node1  {'file:/etc/x[1]':49}  absent -> abc\n"
    )


def test_a_role_in_which_nothing_happens_is_not_worth_a_line() -> None:
    assert shown(ROLE, result("ok")) == ""


def test_a_failure_shows_its_last_lines_and_cuts_long_ones() -> None:
    text = shown(result("failed", reason="first\n" + "x" * 1000))
    assert "  failed\n      first\n      xxx" in text
    assert max(len(line) for line in text.splitlines()) <= LONGEST + 9


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_on_a_terminal_a_change_is_one_line_however_long_its_words(width: int) -> None:
    names = ",".join(f"package-{number}" for number in range(40))
    event = result(resource=f"package:{names}")
    (line,) = plain(resource_line(replace(event, after=names), 10, width))
    assert len(line) <= width
    assert "…" in line
    assert "absent -> package-0" in line


def test_changes_are_in_columns() -> None:
    short, long = (
        plain(resource_line(result(resource=f"file:/{'x' * n}"), 10, 100))[0] for n in (5, 40)
    )
    assert short.index("absent") == long.index("absent")


CHECK = CheckResult(
    name="deny, same host", where="same host", expected="no answer", observed="no answer",
    passed=True, seconds=0.123,
)  # fmt: skip


def test_checks_are_in_columns_that_fit_a_hundred() -> None:
    heading, line = plain(check_heading(100)) + plain(check_line(CHECK, 100))
    assert [line.index(word) for word in ("deny", "same host", "no answer")] == [
        heading.index(word) for word in ("what", "where", "expected")
    ]
    assert line.rindex("no answer") == heading.index("observed")
    assert line.endswith(" 0.12 s")
    assert len(line) <= 100


def test_on_a_narrow_terminal_a_check_goes_without_what_was_expected() -> None:
    (line,) = plain(check_line(CHECK, 80))
    assert line.count("no answer") == 1
    assert len(line) <= 85


def test_the_checks_are_counted_at_the_end() -> None:
    failed = replace(CHECK, passed=False)
    end = Recap(hosts=(), seconds=1)
    assert "smoke test: all 2 checks passed\n" in shown(CHECK, CHECK, end)
    assert "smoke test: 1 of 2 checks passed\n" in shown(CHECK, failed, end)


def test_diffs_are_shown_when_asked_for() -> None:
    event = result(diff="--- a\n+++ b\n-old\n+new [bold]")
    assert "+new" not in shown(event)
    assert "    +new [bold]\n" in shown(event, diff=True)


def test_a_failed_check_shows_its_evidence_and_a_passed_one_does_not() -> None:
    check = CheckResult(
        name="deny", expected="blocked", observed="open", passed=False, evidence="policy: x"
    )
    text = shown(check)
    assert "FAIL  deny " in text
    assert "\n      expected blocked, observed open\n      policy: x\n" in text


@pytest.mark.parametrize(
    ("recap", "verdict"),
    [
        (Recap(hosts=(HostRecap(host="a", ok=3),), seconds=1.24), "done in 1.2 s"),
        (Recap(hosts=(), seconds=1, pending=True), "changes pending in 1.0 s"),
        (Recap(hosts=(HostRecap(host="a", failed=1),), seconds=1), "failed in 1.0 s"),
        (Recap(hosts=(HostRecap(host="a", unreachable=1),), seconds=1), "failed in 1.0 s"),
        (Recap(hosts=(), seconds=1, stopped="stopped in role x"), "failed in 1.0 s"),
    ],
)
def test_the_recap_ends_with_the_verdict(recap: Recap, verdict: str) -> None:
    assert shown(recap).splitlines()[-1] == verdict


def test_what_is_only_for_the_log_is_not_shown() -> None:
    assert shown(Notice(text="output of a command", level="debug")) == ""


def test_brief_progress_is_not_worth_a_line_without_a_terminal() -> None:
    assert shown(Progress(what="build", done=0), Progress(what="build", done=1, total=1)) == ""


def test_progress_on_a_terminal_ends_without_a_trace() -> None:
    text = shown(
        ROLE,
        Progress(what="base: file:/etc/x", done=0, total=2, host="node1"),
        Progress(what="sending", done=5e6, total=1e7, unit="B", host="node1"),
        RoleFinished(role="base", host="node1", outcome="ok"),
        terminal=True,
    )
    assert "Prepare the system" in text


def test_json_is_an_object_a_line() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    run = RunStarted(command="c", cluster="demo", mode="apply", hosts=("a",))
    for event in (run, Notice(text="x", level="debug"), result()):
        lines(event)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [item["event"] for item in found] == ["RunStarted", "ResourceResult"]
    assert found[1]["outcome"] == "changed"


def test_the_log_has_everything_but_secrets_and_keeps_the_newest_files(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        (tmp_path / f"2020-{number:03}.log").touch()
    log = Log(tmp_path / "2026.log", lambda: "NOW")
    log(Notice(text=f"output {KEY}", level="debug"))
    log(result(diff="+line"))
    log(Progress(what="x", done=1))
    text = log.path.read_text()
    assert "[redacted EC PRIVATE KEY]" in text
    assert "MHcCAQ" not in text
    assert text.endswith("+line\n")
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.glob("*.log"))) == KEPT
    log.close()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (KEY, "[redacted EC PRIVATE KEY]"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted PRIVATE KEY]"),
        ("client-key-data: TUhjQ0FRRUVJTTMyMTIz", "client-key-data: [redacted]"),
        ('"token": "eyJhbGciOiJSUzI1NiJ9.e30.x"', '"token": "[redacted]"'),
        ("the secret of success", "the secret of success"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
    ],
)
def test_secrets_are_taken_out(text: str, kept: str) -> None:
    assert redacted(text) == kept


def test_each_resource_counts_once_by_its_last_outcome() -> None:
    tally = Tally(("node1", "node2"))
    tally(result("changed"))
    tally(result("failed"))
    tally(result("ok", resource="file:/b"))
    one, two = tally.recap({"node1": 5}, frozenset({"node2"}))
    assert (one.ok, one.changed, one.failed, one.round_trips) == (1, 0, 1, 5)
    assert (two.ok, two.unreachable) == (0, 1)
