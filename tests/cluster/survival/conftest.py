"""One cluster, installed by the command line itself, for all tests of this folder.

`installed` (session) is a controller and two nodes; a test leaves it as it was. `stage` puts pods
and policies on it, to be probed from inside the pods' own network namespaces. Tests that break an
installation have a cluster of their own with `operator`. Nothing is left at the end, which code
that knows nothing of the platform's finds out.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

import pytest

from installer.artifacts.catalogue import cache_directory
from installer.cluster import Cluster
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.platforms.sandbox.platform import Sandbox
from romana.lab.exclusive import hold

TOOL = Path(sys.executable).with_name("romana-install")


@dataclass(frozen=True)
class Ended:
    """A command of the installer that has ended."""

    code: int
    out: str
    err: str

    @cached_property
    def events(self) -> list[dict]:
        """What `--json` has printed."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    def of(self, kind: str) -> list[dict]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def recap(self) -> dict[str, dict]:
        """The recap's counts by host."""
        return {host["host"]: host for host in self.of("Recap")[-1]["hosts"]}

    @property
    def stopped(self) -> str:
        """Why the run stopped."""
        return self.of("Recap")[-1]["stopped"]

    def results(self, *outcomes: str) -> dict[tuple[str, str, str], dict]:
        """The last result of each resource that had one of these outcomes: (host, role,
        resource)."""
        last = {(r["host"], r["role"], r["resource"]): r for r in self.of("ResourceResult")}
        return {key: result for key, result in last.items() if result["outcome"] in outcomes}


@dataclass(frozen=True)
class Operator:
    """Who types the commands, for one cluster of the sandbox, with a state directory of its own."""

    name: str
    home: Path

    @property
    def state(self) -> Path:
        """The cluster's state directory."""
        return self.home / "romana/clusters" / self.name

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands. Caches are shared with everybody."""
        return {**os.environ, "XDG_STATE_HOME": str(self.home)}

    @property
    def cluster(self) -> Cluster:
        """The cluster as its state directory knows it."""
        with patch.dict(os.environ, self.environment):
            return clusters.known(Wish(name=self.name))

    def begin(self, verb: str, *words: str) -> subprocess.Popen[str]:
        """Starts a command."""
        command = (str(TOOL), verb, "-n", self.name, *words)
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def run(self, verb: str, *words: str, timeout_s: float = 600) -> Ended:
        """A command, to its end. None ever shows a traceback."""
        with self.begin(verb, *words) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        assert "Traceback" not in out + err, out + err
        return Ended(process.returncode, out, err)

    def sandbox(self, *words: str) -> Ended:
        """`romana-install sandbox`."""
        return self.run("sandbox", "--yes", "--json", *words)

    def until(self, wanted: Callable[[dict], bool], *words: str) -> dict:
        """`romana-install sandbox` up to an event, at which it is killed."""
        with self.begin("sandbox", "--yes", "--json", *words) as process:
            assert process.stdout
            try:
                for line in process.stdout:
                    if wanted(event := json.loads(line)):
                        return event
            finally:
                process.kill()
            assert process.stderr
            pytest.fail(f"ended before it could be killed: {process.stderr.read()}")

    def watched(
        self, wanted: Callable[[dict], bool], act: Callable[[], object], *words: str
    ) -> Ended:
        """`romana-install sandbox`, during which something happens once, at an event."""
        with self.begin("sandbox", "--yes", "--json", *words) as process:
            assert process.stdout
            assert process.stderr
            lines, acted = [], False
            for line in process.stdout:
                lines.append(line)
                if not acted and wanted(json.loads(line)):
                    act()
                    acted = True
            err = process.stderr.read()
        assert acted, "the event came"
        return Ended(process.returncode, "".join(lines), err)

    def leader(self, host: str) -> int:
        """The process id, on this machine, of a host's init."""
        leader = Sandbox().machine(self.cluster, host).leader
        assert leader is not None, f"{host} is down"
        return leader

    def on(self, host: str, script: str, *, check: bool = True) -> str:
        """What a script prints on a host. It gets there without SSH."""
        words = ("nsenter", "-t", str(self.leader(host)), "-a", "sh", "-euc", script)
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{script} on {host}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def kubectl_program(self) -> str:
        """The operator's own kubectl, or the release's."""
        own = shutil.which("kubectl") or next(cache_directory().glob("kubernetes/*/*/kubectl"))
        return str(own)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """What the operator's own kubectl prints, with the printed kubeconfig."""
        command = (self.kubectl_program, f"--kubeconfig={self.state}/kubeconfig", *words)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout


@dataclass(frozen=True)
class Traces:
    """All on this machine that bears a cluster's name, found by looking at everything: `take`."""

    namespaces: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[int]
    cgroups: frozenset[str]
    directories: frozenset[str]

    def __bool__(self) -> bool:
        return any(vars(self).values())

    @classmethod
    def take(cls, name: str) -> "Traces":
        """What there is now."""
        mark = re.compile(rf"(romana-|romana/sandbox/|nspawn/.*/){re.escape(name)}(?![\w-])")
        namespaces = [path for path in Path("/run/netns").glob("*") if mark.search(path.name)]
        inodes = {path.stat().st_ino for path in namespaces if path.exists()}
        mounts, processes = set(), set()
        for directory in Path("/proc").glob("[0-9]*"):
            # Processes come and go while they are looked at; process 1 of a container is not ours.
            with contextlib.suppress(OSError):
                lines = (directory / "mountinfo").read_text().splitlines()
                mounts |= {line.split()[4] for line in lines if mark.search(line)}
                words = (directory / "cmdline").read_text() + (directory / "cgroup").read_text()
                if mark.search(words) or (directory / "ns/net").stat().st_ino in inodes:
                    processes.add(int(directory.name))
        places = ("/var/lib/romana/sandbox/*", "/run/systemd/nspawn/*/*", "/tmp/romana-check-*")
        found = (str(path) for place in places for path in Path("/").glob(place[1:]))
        return cls(
            frozenset(path.name for path in namespaces),
            frozenset(mounts),
            frozenset(processes),
            frozenset(
                str(p) for p in Path("/sys/fs/cgroup").glob("**/romana-*") if mark.search(p.name)
            ),
            frozenset(path for path in found if mark.search(path)),
        )


def within(limit_s: float, condition: Callable[[], object], what: str = "") -> float:
    """Waits for a condition; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, f"not within {limit_s} s: {what or condition}"
        time.sleep(0.05)
    return time.monotonic() - began


@contextlib.contextmanager
def operating(name: str, home: Path) -> Iterator[Operator]:
    """An operator for the time of a block; afterwards the cluster is gone, and nothing is left."""
    found = Operator(name, home)
    with hold(f"romana-{name}-tests"):
        if Traces.take(name):
            with patch.dict(os.environ, found.environment):
                Sandbox().destroy(unmade(found), lambda event: None)
        assert not Traces.take(name)
        try:
            yield found
        finally:
            destroyed = found.run("destroy", "--yes") if found.state.exists() else None
            left = Traces.take(name)
        assert destroyed is None or destroyed.code == 0, destroyed
        assert not left
        assert not found.state.exists()


def unmade(operator: Operator) -> Cluster:
    """The cluster as it would be made, where only a killed test knew how it was."""
    return clusters.wanted("sandbox", Wish(name=operator.name))[0].cluster


@pytest.fixture(scope="session")
def operator() -> Callable[..., contextlib.AbstractContextManager[Operator]]:
    """`operating`, for tests with a cluster of their own."""
    return operating


@pytest.fixture(scope="session")
def traces() -> Callable[[str], Traces]:
    """`Traces.take`."""
    return Traces.take


@pytest.fixture(scope="session")
def eventually() -> Callable[..., float]:
    """`within`."""
    return within


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, Ended]]:
    """The shared cluster's installation."""
    with operating("pytest", tmp_path_factory.mktemp("home")) as found:
        yield found, found.sandbox()


@pytest.fixture(scope="session")
def installed(first_run: tuple[Operator, Ended]) -> Operator:
    """The shared cluster."""
    found, ended = first_run
    assert ended.code == 0, ended
    return found
