"""What the operator sees: a line for each change, live progress below on a terminal, and the
recap."""

from __future__ import annotations

import time

from rich.console import Console as Rich
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from installer.events import (
    CheckResult,
    Event,
    Finding,
    HostRecap,
    Notice,
    Outcome,
    Progress,
    Recap,
    ResourceResult,
    RoleFinished,
    RoleStarted,
    RollOut,
    RunStarted,
    VersionChanges,
)
from installer.observers.lines import (
    COLOURS,
    FULL,
    check_details,
    check_heading,
    check_line,
    minute,
    resource_line,
    version_rows,
)

LONGEST = 300
MANY = 10
"""Hosts that are counted instead of named."""
QUIET_S = 10.0
"""Without a terminal, progress is a line at most this often."""
BRIEF_S = 2.0
"""What takes no longer than this is not worth a line."""


class Console:
    """Prints events.

    Args:
        rich: where to; knows whether it is a terminal.
        diff: whether to show unified diffs.
    """

    def __init__(self, rich: Rich, *, diff: bool = False) -> None:
        self._rich = rich
        self._diff = diff
        self._tasks: dict[str, int] = {}
        self._begun: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        self._title: tuple[str, str] | None = None
        self._width = 4
        self._headed = False
        self._checks = 0
        self._passed = 0
        self._mode = "apply"
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=_description(rich.width)),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=rich,
            transient=True,
            disable=not rich.is_terminal,
        )

    def open(self) -> None:
        """Begins the live part of the screen."""
        self._bars.start()

    def close(self) -> None:
        """Takes the live part away; lines stay."""
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Prints an event."""
        show = {
            RunStarted: self._run,
            Notice: self._notice,
            Progress: self._progress,
            VersionChanges: self._versions,
            RollOut: self._roll_out,
            RoleStarted: self._role,
            ResourceResult: self._resource,
            RoleFinished: self._finished,
            CheckResult: self._check,
            Finding: self._finding,
            Recap: self._recap,
        }.get(type(event))
        if show is not None:
            show(event)  # type: ignore[operator]

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Prints one line of words, each with its style; they are never taken for markup."""
        self._rich.print(Text.assemble(*parts), soft_wrap=True, highlight=False)

    def _run(self, event: RunStarted) -> None:
        self._width = max((len(host) for host in event.hosts), default=4)
        self._mode = event.mode
        what = "checking" if event.mode == "check" else "converging"
        few = len(event.hosts) <= MANY
        hosts = ", ".join(event.hosts) if few else f"{len(event.hosts)} hosts"
        self.line((f"{event.cluster}: ", "bold"), f"{what} {hosts}")

    def _notice(self, event: Notice) -> None:
        if event.level != "debug":
            style = "yellow" if event.level == "warning" else "dim"
            # Sentences break between words; only a terminal has a width to break at.
            whole = not self._rich.is_terminal
            self._rich.print(Text(event.text, style), soft_wrap=whole, highlight=False)
            self._show_diff(event.diff)

    def _versions(self, event: VersionChanges) -> None:
        if not event.changes:
            return
        table = Table(box=None, pad_edge=False)
        for name in ("host", "program", "from", "to", ""):
            table.add_column(name, no_wrap=True)
        for row in version_rows(event.changes):
            table.add_row(*(Text(cell) for cell in row))
        self._rich.print(table)

    def _roll_out(self, event: RollOut) -> None:
        for host in event.hosts:
            self._drop(host)
        took = (f"  {event.seconds:.1f} s", "dim") if event.seconds else ("", "")
        hosts = ", ".join(event.hosts)
        self.line((f"{event.phase:13}", "bold"), f" {hosts:{self._width}}  {event.text}", took)

    def _finding(self, event: Finding) -> None:
        self.line((f"{event.where}: ", "bold red"), event.what)
        if event.advice:
            self.line((f"  {event.advice}", "dim"))

    def _progress(self, event: Progress) -> None:
        key = event.host or event.what
        if event.host:
            self._head()
        ended = 0 < event.total <= event.done and not event.host
        if not self._rich.is_terminal:
            self._progress_line(event, key, ended)
            return
        what = f"{event.host}  {event.what}" if event.host else event.what
        amount = _amount(event)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(what, total=event.total or None, amount=amount)
        self._bars.update(
            self._tasks[key],  # type: ignore[arg-type]
            description=what,
            completed=event.done,
            total=event.total or None,
            amount=amount,
        )
        if ended:
            self._drop(key)

    def _progress_line(self, event: Progress, key: str, ended: bool) -> None:
        now = time.monotonic()
        begun = self._begun.setdefault(key, now)
        if event.host or now - begun < BRIEF_S:
            return
        if now - self._shown.get(key, -QUIET_S) < QUIET_S and not ended:
            return
        self._shown[key] = now
        self.line(f"{event.what} {_amount(event)}".rstrip())

    def _drop(self, key: str) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            self._bars.remove_task(task)  # type: ignore[arg-type]

    def _role(self, event: RoleStarted) -> None:
        self._title = (event.role, event.title) if event.hosts else None

    def _head(self) -> None:
        """The role's title, once something happens in it."""
        if self._title is not None:
            role, title = self._title
            self._title, self._headed = None, True
            self.line((role, "bold"), (f"  {title}", "dim"))

    def _resource(self, event: ResourceResult) -> None:
        if event.outcome == "ok" or (event.outcome == "skipped" and not event.before):
            return
        self._head()
        width = self._rich.width if self._rich.is_terminal else None
        self.line(*resource_line(event, self._width, width))
        for line in event.reason.splitlines() if event.outcome != "skipped" else ():
            self.line(f"      {_cut(line)}")
        self._show_diff(event.diff)

    def _show_diff(self, diff: str) -> None:
        for text in diff.splitlines() if self._diff else ():
            self.line((f"      {text}", _diff_colour(text)))

    def _finished(self, event: RoleFinished) -> None:
        self._drop(event.host)
        if event.outcome == "skipped":
            self.line(
                f"  {event.host:{self._width}}  {event.role}  ",
                (f"skipped: {event.reason}", "cyan"),
            )

    def _check(self, event: CheckResult) -> None:
        width = self._rich.width if self._rich.is_terminal else FULL
        if not self._checks:
            self.line(("smoke test", "bold"), ("  Prove that policies are enforced", "dim"))
            self.line(*check_heading(width))
        self._checks += 1
        self._passed += event.passed
        self.line(*check_line(event, width))
        for text in check_details(event):
            self.line(text)

    def _recap(self, event: Recap) -> None:
        for key in tuple(self._tasks):
            self._drop(key)
        if event.hosts:
            if self._headed:
                self.line()
            self._rich.print(_table(event.hosts))
        if self._checks:
            passed = "all" if self._passed == self._checks else f"{self._passed} of"
            self.line(f"smoke test: {passed} {self._checks} checks passed")
        for note in event.notes:
            self.line(note)
        if event.stopped:
            self.line((f"{event.stopped}; run again to continue", "bold red"))
        since = f", the first since {minute(event.since)}" if event.since else ""
        self.line((f"{_verdict(event, self._mode)} in {event.seconds:.1f} s{since}", "bold"))


def _verdict(event: Recap, mode: str) -> str:
    if event.stopped or any(host.failed or host.unreachable for host in event.hosts):
        return "failed"
    if event.pending:
        return "changes pending"
    return "nothing to do" if mode == "check" else "done"


def _table(hosts: tuple[HostRecap, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("host")
    for name in ("ok", "changed", "failed", "skipped", "unreachable", "round trips"):
        table.add_column(name, justify="right")
    for host in hosts:
        counts: list[tuple[Outcome, int]] = [
            ("ok", host.ok),
            ("changed", host.changed),
            ("failed", host.failed),
            ("skipped", host.skipped),
            ("unreachable", host.unreachable),
        ]
        cells = [Text(str(count), COLOURS[name] if count else "dim") for name, count in counts]
        table.add_row(host.host, *cells, Text(str(host.round_trips), "dim"))
    return table


def _description(width: int) -> Column:
    """What leaves room for bar, amount and time."""
    return Column(no_wrap=True, overflow="ellipsis", max_width=max(20, width - 54))


def _cut(line: str) -> str:
    """A line of some program's log, which may be a page long; the log file has all of it."""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _amount(event: Progress) -> str:
    if event.unit == "B":
        done, total = event.done / 1e6, event.total / 1e6
        return f"{done:.0f}/{total:.0f} MB" if total else f"{done:.0f} MB"
    if not event.total:
        return f"{event.done:g} {event.unit}".strip() if event.done else ""
    return f"{event.done:g}/{event.total:g} {event.unit}".strip()


def _diff_colour(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
