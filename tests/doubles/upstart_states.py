"""The states of one job under upstart 1.12, and where its goal leads from each: job_next_state and
job_process_terminated of upstart's source, without what no job of ours has."""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass, field

from upstart_channel import Answer
from upstart_grammar import Job

NEXT = {
    # state: where the goal to stop leads, and where the goal to start does
    "waiting": ("waiting", "starting"),
    "starting": ("stopping", "pre-start"),
    "pre-start": ("stopping", "spawned"),
    "spawned": ("stopping", "post-start"),
    "post-start": ("stopping", "running"),
    "running": ("pre-stop", "stopping"),
    "pre-stop": ("stopping", "running"),
    "stopping": ("killed", "killed"),
    "killed": ("post-stop", "post-stop"),
    "post-stop": ("waiting", "starting"),
}


@dataclass
class Instance:
    """A job that runs or is about to."""

    job: Job
    goal: str = "stop"
    state: str = "waiting"
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    respawned_at: float = 0.0
    respawns: int = 0
    failed: bool = False
    waiting: list[tuple[str, Answer]] = field(default_factory=list)
    kill_timer: threading.Timer | None = None

    @property
    def status(self) -> str:
        text = f"{self.job.name} {'start' if self.goal == 'respawn' else self.goal}/{self.state}"
        processes = dict(self.running)
        main = processes.pop("main", None)
        text += f", process {main.pid}" if main else ""
        return text + "".join(f"\n\t{kind} process {each.pid}" for kind, each in processes.items())

    def next_state(self) -> str:
        """Where the goal leads from here."""
        if self.goal == "respawn":  # remembered while a post-start was running
            self.goal = "start"
            return "stopping"
        if self.state == "running" and "main" not in self.running:
            return "stopping"
        return NEXT[self.state][self.goal == "start"]

    def main_ended(self, status: int) -> tuple[bool, bool]:
        """Whether the state changes, and whether the goal becomes to stop."""
        change = not (
            (self.state == "post-start" and "post-start" in self.running)
            or (self.state == "pre-stop" and "pre-stop" in self.running)
        )
        if self.state == "killed":
            return change, False
        if self.state == "stopping":
            return False, False
        if self.goal == "start" and (status or self.job.respawn):
            if not self.job.respawn or self._too_fast():
                self.failed = True
            else:
                if not change:
                    self.goal = "respawn"
                return change, False
        return change, True

    def _too_fast(self) -> bool:
        job, now = self.job, time.monotonic()
        if not job.respawn_limit or not job.respawn_interval:
            return False
        if now - self.respawned_at < job.respawn_interval:
            self.respawns += 1
            return self.respawns > job.respawn_limit
        self.respawned_at, self.respawns = now, 1
        return False
