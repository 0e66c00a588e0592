"""A host with Ubuntu 14.04: a root file system, its init, and a session on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from old_root import ChrootSession, OldRoot
from upstart_init import Upstart

LIMIT_S = 60.0


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition, with a generous bound."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"not within {LIMIT_S} s: {what or condition}"
        time.sleep(0.02)


@dataclass
class Machine:
    """A host: its root, its init, and a session on it."""

    root: OldRoot
    init: Upstart
    session: ChrootSession

    def sh(self, script: str) -> tuple[int, str]:
        """Runs a script as the installer would: status, and all that it said."""
        output = self.session.run(f"set -eu\n{script}")
        return output.status, output.stdout + output.stderr

    def status(self, job: str) -> str:
        """What `initctl status` says of a job, without process numbers."""
        return self.sh(f"initctl status {job}")[1].splitlines()[0].partition(",")[0]

    def pid(self, job: str) -> int:
        """The main process of a job; 0 where none runs."""
        instance = self.init.instances.get(job)
        main = instance.running.get("main") if instance else None
        return main.pid if main else 0

    def eventually_is(self, job: str, state: str) -> None:
        """Wait until a job is in a state: `start/running`."""
        eventually(lambda: self.status(job) == f"{job} {state}", f"{job} {state}")

    def story(self, job: str) -> str:
        """What became of a job, for the message of a test that fails."""
        states = [line for line in self.init.log if line.startswith(f"{job} ")]
        log = self.root.root / f"var/log/upstart/{job}.log"
        return f"{states[-20:]}, {log.read_text()[-500:] if log.exists() else 'no log'}"

    def reboot(self) -> None:
        """End everything, and boot again."""
        self.init.close()
        self.init = Upstart(self.root.root)
        self.init.boot()
