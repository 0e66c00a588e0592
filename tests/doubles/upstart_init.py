"""upstart 1.12 as PID 1 of a root file system, as far as jobs of one instance go: goals and states,
respawning and its limit, events, what initctl answers and with which status.

It reads job files from ROOT/etc/init, runs their processes for real (sh in the root), writes
ROOT/var/log/upstart, and answers ROOT/sbin/initctl through two pipes in ROOT/run/upstart. States
and messages follow upstart's own source (job_next_state, job_process_terminated, the errors that
job_class_start, _stop and _restart raise). Not done: what `limit`, `oom` and `setuid` give to a
process, and, since no job of ours has it, instances, tasks, `expect`, events that block.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from upstart_channel import Answer, Channel
from upstart_grammar import Condition, Job, Mistake, parse
from upstart_states import Instance

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin",
    "TERM": "linux",
}


class Upstart:
    """A running init.

    Args:
        root: of the file system; its sh must run under chroot.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.classes: dict[str, Job] = {}
        self.instances: dict[str, Instance] = {}
        self.mistakes: dict[str, str] = {}
        self.events: list[str] = []
        self.log: list[str] = []
        self._todo: queue.Queue[Callable[[], None] | None] = queue.Queue()
        for name in ("run/upstart", "var/log/upstart", "etc/init", "sbin"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._channel = Channel(
            root, lambda words, answer: self._todo.put(lambda: self._asked(words, answer))
        )
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Kills everything that jobs have started."""
        done = threading.Event()

        def end() -> None:
            for instance in self.instances.values():
                instance.goal = "stop"
                if instance.kill_timer:
                    instance.kill_timer.cancel()
                for process in instance.running.values():
                    _signal(process, signal.SIGKILL)
            done.set()

        self._todo.put(end)
        done.wait(10)
        self._todo.put(None)
        self._worker.join(10)
        self._channel.close()

    def emit(self, event: str, **environment: str) -> None:
        """Have an event happen, and wait until every job has been told."""
        done = threading.Event()
        self._todo.put(lambda: (self._happened(event, environment), done.set()))  # type: ignore[func-returns-value]
        assert done.wait(30), f"{event}: init does not answer"

    def boot(self) -> None:
        """Read the job files and enter runlevel 2."""
        self._todo.put(self._reload)
        self.emit("runlevel", RUNLEVEL="2", PREVLEVEL="N")

    # --- requests -------------------------------------------------------------------------------

    def _work(self) -> None:
        while (task := self._todo.get()) is not None:
            task()

    def _asked(self, words: Sequence[str], answer: Answer) -> None:
        program, *rest = words
        if program == "initctl":
            command, *rest = rest or ["help"]
        else:
            command = program
        options = {word for word in rest if word.startswith("-")}
        names = [word for word in rest if not word.startswith("-")]
        if command == "reload-configuration":
            self._reload()
            answer(0, "", "")
        elif command not in ("start", "stop", "restart", "status"):
            answer(1, "", f"invalid command: {command}")
        elif not names:
            answer(1, "", "missing job name")
        else:
            self._reload()  # as inotify has it do
            getattr(self, f"_{command}")(names[0], "--no-wait" not in options, answer)

    def _status(self, name: str, wait: bool, answer: Answer) -> None:
        if name not in self.classes and name not in self.instances:
            answer(1, "", f"Unknown job: {name}")
        else:
            found = self.instances.get(name)
            answer(0, found.status if found else f"{name} stop/waiting", "")

    def _start(self, name: str, wait: bool, answer: Answer) -> None:
        if name not in self.classes:
            answer(1, "", f"Unknown job: {name}")
            return
        instance = self.instances.setdefault(name, Instance(self.classes[name]))
        if instance.goal != "stop":
            answer(1, "", f"Job is already running: {name}")
            return
        self._wait_or(instance, "start", wait, answer)
        self._change_goal(instance, "start")
        if not wait:
            answer(0, instance.status, "")

    def _stop(self, name: str, wait: bool, answer: Answer) -> None:
        if (instance := self._running(name, answer)) is None:
            return
        self._wait_or(instance, "stop", wait, answer)
        self._change_goal(instance, "stop")
        if not wait:
            answer(0, instance.status, "")

    def _restart(self, name: str, wait: bool, answer: Answer) -> None:
        if (instance := self._running(name, answer)) is None:
            return
        self._wait_or(instance, "restart", wait, answer)
        self._change_goal(instance, "stop")
        self._change_goal(instance, "start")
        if not wait:
            answer(0, instance.status, "")

    def _running(self, name: str, answer: Answer) -> Instance | None:
        if name not in self.classes and name not in self.instances:
            answer(1, "", f"Unknown job: {name}")
        elif name not in self.instances:
            answer(1, "", "Unknown instance: ")
        elif self.instances[name].goal == "stop":
            answer(1, "", f"Job has already been stopped: {name}")
        else:
            return self.instances[name]
        return None

    def _wait_or(self, instance: Instance, what: str, wait: bool, answer: Answer) -> None:
        self._finish(instance, failed=False)
        if wait:
            instance.waiting.append((what, answer))

    def _finish(self, instance: Instance, *, failed: bool) -> None:
        """Answer those who wait for the job to be started or stopped."""
        messages = {
            "start": "Job failed to start",
            "stop": "Job failed while stopping",
            "restart": "Job failed to restart",
        }
        for what, answer in instance.waiting:
            if failed:
                answer(1, "", messages[what])
            else:
                answer(0, instance.status, "")
        instance.waiting.clear()

    # --- configuration and events ----------------------------------------------------------------

    def _reload(self) -> None:
        """Reads all job files. A job that runs keeps what it was started with."""
        found: dict[str, Job] = {}
        self.mistakes = {}
        for path in sorted((self.root / "etc/init").glob("*.conf")):
            override = path.with_suffix(".override")
            try:
                job = parse(path.stem, path.read_text())
                if override.exists():
                    changed = parse(path.stem, override.read_text())
                    job.manual = job.manual or changed.manual
                found[path.stem] = job
            except Mistake as error:
                self.mistakes[path.stem] = str(error)
        self.classes = found

    def _happened(self, event: str, environment: dict[str, str]) -> None:
        self._reload()
        self.events.append(" ".join((event, *environment.values())))
        for name, job in self.classes.items():
            instance = self.instances.get(name)
            current = instance.job if instance else job
            if instance and _matches(current.stop_on, event, environment):
                self._change_goal(instance, "stop")
            if not job.manual and _matches(job.start_on, event, environment):
                instance = self.instances.setdefault(name, Instance(job))
                self._change_goal(instance, "start")

    # --- the state machine -----------------------------------------------------------------------

    def _change_goal(self, instance: Instance, goal: str) -> None:
        if instance.goal == goal:
            return
        instance.goal = goal
        if (goal == "start" and instance.state == "waiting") or (
            goal == "stop" and instance.state == "running"
        ):
            self._change_state(instance, instance.next_state())

    def _change_state(self, instance: Instance, state: str) -> None:
        while instance.state != state:
            instance.state = state
            self.log.append(f"{instance.job.name} {state}")
            enter = getattr(self, "_enter_" + state.replace("-", "_"))
            state = state if enter(instance) else instance.next_state()
            if instance.state == "waiting":
                return

    def _enter_starting(self, instance: Instance) -> bool:
        instance.failed = False
        self.events.append(f"starting {instance.job.name}")
        return False

    def _enter_pre_start(self, instance: Instance) -> bool:
        return self._run(instance, "pre-start")

    def _enter_spawned(self, instance: Instance) -> bool:
        self._run(instance, "main")
        return False

    def _enter_post_start(self, instance: Instance) -> bool:
        return self._run(instance, "post-start")

    def _enter_running(self, instance: Instance) -> bool:
        self.events.append(f"started {instance.job.name}")
        self._finish(instance, failed=False)
        # A main process that has died meanwhile is dealt with by its own message.
        return True

    def _enter_pre_stop(self, instance: Instance) -> bool:
        return self._run(instance, "pre-stop")

    def _enter_stopping(self, instance: Instance) -> bool:
        self.events.append(f"stopping {instance.job.name}")
        return False

    def _enter_killed(self, instance: Instance) -> bool:
        main = instance.running.get("main")
        if main is None:
            return False
        _signal(main, signal.SIGTERM)
        instance.kill_timer = threading.Timer(
            instance.job.kill_timeout, lambda: _signal(main, signal.SIGKILL)
        )
        instance.kill_timer.daemon = True
        instance.kill_timer.start()
        return True

    def _enter_post_stop(self, instance: Instance) -> bool:
        return self._run(instance, "post-stop")

    def _enter_waiting(self, instance: Instance) -> bool:
        self.events.append(f"stopped {instance.job.name}")
        del self.instances[instance.job.name]
        self._finish(instance, failed=instance.failed)
        return True

    def _run(self, instance: Instance, kind: str) -> bool:
        """Start a process of the job; whether there is one to wait for."""
        process = instance.job.processes.get(kind)
        if process is None:
            return False
        job, log = instance.job, self.root / f"var/log/upstart/{instance.job.name}.log"
        text = process.text if process.script else f"exec {process.text}"
        with log.open("ab") as output:
            started = subprocess.Popen(
                ["chroot", str(self.root), "/bin/sh", "-e", "-c", text],
                env={**ENVIRONMENT, **job.env, "UPSTART_JOB": job.name, "UPSTART_INSTANCE": ""},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        instance.running[kind] = started

        def wait() -> None:
            status = started.wait()
            self._todo.put(lambda: self._ended(instance, kind, status))

        threading.Thread(target=wait, daemon=True).start()
        return True

    def _ended(self, instance: Instance, kind: str, status: int) -> None:
        del instance.running[kind]
        self.log.append(f"{instance.job.name} {kind} ended with {status}")
        change, stop = True, False
        if kind == "main":
            change, stop = instance.main_ended(status)
        elif kind in ("pre-start", "post-stop") and status:
            instance.failed = stop = True
        if instance.kill_timer:
            instance.kill_timer.cancel()
            instance.kill_timer = None
        if stop:
            change = change and instance.state != "running"
            self._change_goal(instance, "stop")
        if change:
            self._change_state(instance, instance.next_state())


def _matches(condition: Condition | None, event: str, environment: dict[str, str]) -> bool:
    """Whether an event alone fulfils a condition."""
    if condition is None or condition[0] == "and":
        return False
    if condition[0] == "or":
        return any(_matches(each, event, environment) for each in condition[1:])  # type: ignore[arg-type]
    name, wanted = condition
    values = list(environment.values())
    return name == event and all(
        fnmatchcase(value, pattern) for value, pattern in zip(values, wanted, strict=False)
    )


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the whole process group, as upstart does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
