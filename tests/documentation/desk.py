"""Where an operator types what the documentation says, in front of bare servers of the lab.

The servers are the sandbox's machines; the installer is told nothing of that. Where the operator
sits there is no way out of the lab, so what is installed is fetched beforehand.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from documented import Page

from installer import artifacts, distributions
from installer.artifacts.catalogue import cache_directory
from installer.cluster import Platform
from installer.inventory import Request, load
from installer.platforms.sandbox import preconditions
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import ensure_image
from installer.platforms.sandbox.machine import Machine
from installer.platforms.sandbox.packages import ensure_packages
from romana.lab.namespaces import Namespace


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @cached_property
    def events(self) -> list[dict]:
        """What `--json` has printed."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    def of(self, kind: str) -> list[dict]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    def results(self, *outcomes: str) -> list[tuple[str, str]]:
        """Host and resource of the results that had one of these outcomes."""
        return [
            (result["host"], result["resource"])
            for result in self.of("ResourceResult")
            if result["outcome"] in outcomes
        ]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """An operator's place in the lab, with a directory that is also the home."""

    place: Namespace
    home: Path
    page: Page
    """The page whose commands are typed."""
    variables: dict[str, str] = field(default_factory=dict)
    """Added to the environment of commands."""

    def state_of(self, cluster: str) -> Path:
        """State directory of a cluster."""
        return self.home / "state/romana/clusters" / cluster

    @property
    def environment(self) -> dict[str, str]:
        """Of commands. The cache is everybody's."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
            **self.variables,
        }

    def words(self, line: str) -> tuple[str, ...]:
        """What runs a line of shell here."""
        return self.place.command("sh", "-c", f"cd {shlex.quote(str(self.home))} && {line}")

    def type(self, line: str, *options: str, then: str = "") -> Ended:
        """A command as the documentation has it, with options that it needs here, before what it
        is to run on a host; or with a line that comes after it in the same shell."""
        command, dashes, remote = line.partition(" -- ")
        whole = f"{command} {shlex.join(options)}{dashes}{remote}" if options else line
        began = time.monotonic()
        done = subprocess.run(
            self.words(f"{whole}\n{then}"),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        self.page.ran(line, done.returncode)
        return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def silent(event: object) -> None:
    """Hears what happens, and says nothing."""


def bare_system() -> tuple[Path, Path]:
    """Of this machine's release: a root file system, and a repository of what roles install."""
    preconditions.require(silent)
    distribution = read_distribution()
    image = ensure_image(distribution, silent)
    names = distributions.names(distribution.id, distribution.version)
    assert names is not None
    return image, ensure_packages(image, (*names.base, *names.runtime, *names.etcd), silent)


def fetch(home: Path, platform: Platform, inventory: Path, settings: tuple[str, ...] = ()) -> None:
    """Fills the cache with what a run at a desk of that home will want.

    Args:
        home: the operator's.
        platform: where the hosts come from.
        inventory: the file that the run will have.
        settings: `KEY=VALUE` as for `--set`.
    """
    request = Request(platform=platform, clusters=home / "fetched", settings=settings)
    cluster = load(inventory, request).cluster
    cluster.state.mkdir(parents=True)
    row = distributions.find(read_distribution().id, read_distribution().version)
    assert row is not None
    artifacts.prepare(cluster, pythons={row.python}, emit=silent, cache=cache_directory())


def on(machine: Machine, script: str, *, check: bool = True) -> str:
    """What a script prints on a server. It gets there without SSH."""
    leader = machine.leader
    assert leader is not None, f"{machine.hostname} is down"
    words = ("nsenter", "-t", str(leader), "-a", "sh", "-euc", script)
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, f"{script} on {machine.hostname}: {done.stderr}"
    return done.stdout
