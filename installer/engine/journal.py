"""What a cluster's last run did and where it stopped: an observer that keeps one small file,
written anew at each step so that it is true also after the run was killed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from installer.events import (
    Event,
    Recap,
    ResourceResult,
    RoleFinished,
    RoleStarted,
    RunStarted,
)

State = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run. Times are UTC, "2026-11-24 11:17:17"; `roles` are those that every host got
    through."""

    run: str
    command: str
    started: str
    state: State = "running"
    ended: str = ""
    role: str = ""
    roles: tuple[str, ...] = ()
    host: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """The one line that the next run shows."""
        if self.state == "done":
            return f"the last run ({self.started}) was completed"
        where = f" in role {self.role}" if self.role else " before its first role"
        host = f" on {self.host}" if self.host else ""
        why = {
            "running": "it was killed",
            "interrupted": "it was interrupted",
            "failed": self.reason,
        }[self.state]
        return f"the last run ({self.started}) stopped{where}{host} because {why}"


def read(path: Path) -> Entry | None:
    """The last run's entry, or None where there is none that can be read."""
    try:
        data: Mapping[str, Any] = json.loads(path.read_text())
        return Entry(**{**data, "roles": tuple(data["roles"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


class Journal:
    """Observes a run and keeps its entry on disk.

    Args:
        path: the file.
        now: the present time as text.
    """

    def __init__(self, path: Path, now: Callable[[], str]) -> None:
        self._path = path
        self._now = now
        self._entry = Entry(run=secrets.token_hex(4), command="", started=now())
        self._role = ""
        self._failed_roles: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Takes note of an event."""
        entry = self._entry
        if isinstance(event, RunStarted):
            self._write(replace(entry, command=event.command))
        elif isinstance(event, RoleStarted):
            passed = entry.roles
            if self._role and self._role not in self._failed_roles:
                passed = (*passed, self._role)
            self._role = event.role if event.hosts else ""
            stopped_in = entry.role if entry.reason else event.role
            self._write(replace(entry, role=stopped_in, roles=passed))
        elif isinstance(event, ResourceResult | RoleFinished):
            self._failure(event)
        elif isinstance(event, Recap):
            self._end(event)

    def interrupted(self) -> None:
        """The operator ended the run."""
        self._write(replace(self._entry, state="interrupted", ended=self._now()))

    def stopped(self, host: str, reason: str) -> None:
        """The run ended with an error that no event has told."""
        self._write(
            replace(self._entry, state="failed", host=host, reason=reason, ended=self._now())
        )

    def _failure(self, event: ResourceResult | RoleFinished) -> None:
        if event.outcome not in ("failed", "unreachable"):
            return
        self._failed_roles.add(event.role)
        if not self._entry.reason:
            lines = event.reason.strip().splitlines()
            resource = f"{event.resource}: " if isinstance(event, ResourceResult) else ""
            reason = f"{resource}{lines[0] if lines else event.outcome}"
            self._write(replace(self._entry, role=event.role, host=event.host, reason=reason))

    def _end(self, event: Recap) -> None:
        failed = any(host.failed or host.unreachable for host in event.hosts) or event.stopped
        entry = replace(self._entry, state="failed" if failed else "done", ended=self._now())
        self._write(entry if entry.reason or not failed else replace(entry, reason=event.stopped))

    def _write(self, entry: Entry) -> None:
        self._entry = entry
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(asdict(entry), indent=1) + "\n")
        new.chmod(0o600)
        new.replace(self._path)
