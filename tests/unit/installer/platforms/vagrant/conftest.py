"""A folder with settings and a stand-in for Vagrant on PATH."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from installer.cluster import Cluster
from installer.events import Event
from installer.inventory import Request, load
from installer.platforms.vagrant import platform, settings
from installer.platforms.vagrant.platform import Vagrant

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[5]


@dataclass
class Desk:
    """An operator's desk: environment, the stand-in's directory, and what was heard."""

    directory: Path
    environment: dict[str, str]
    answering: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where the Vagrantfile would be."""
        return self.directory / "vagrant"

    @property
    def vagrant(self) -> Vagrant:
        """The platform, as a new process would have it."""
        listens = lambda host: host.name in self.answering  # noqa: E731
        return Vagrant(self.folder, self.environment, listens, wait_s=0)

    def cluster(self, nodes: int | None = None, *settings_: str) -> Cluster:
        """The cluster of inventories/vagrant.yml."""
        request = Request(
            platform="vagrant",
            clusters=self.directory / "clusters",
            nodes=nodes,
            settings=settings_,
            defaults=platform.defaults(nodes, self.folder, self.environment),
        )
        cluster = load(ROOT / "inventories/vagrant.yml", request).cluster
        cluster.state.mkdir(parents=True, exist_ok=True)
        return cluster

    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        """What Vagrant was called with since the last time, and told by the environment."""
        file = self.directory / "calls.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [tuple(json.loads(line)) for line in lines]

    def states(self, **found: str) -> None:
        """How machines are from now on."""
        (self.directory / "states.json").write_text(json.dumps(found))

    def fails(self, **said: str) -> None:
        """What commands say and fail with: ssh_config="..."."""
        named = {verb.replace("_", "-"): text for verb, text in said.items()}
        (self.directory / "fails.json").write_text(json.dumps(named))

    def said(self) -> list[str]:
        """Notices since the last time."""
        found = [event.text for event in self.events if hasattr(event, "text")]
        self.events.clear()
        return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with Vagrant."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "vagrant").mkdir()
    shutil.copy(HERE / "vagrant", tmp_path / "bin/vagrant")
    shutil.copy(settings.FOLDER / "settings.yml", tmp_path / "vagrant/settings.yml")
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    return Desk(tmp_path, {"PATH": path, "FAKE_VAGRANT": str(tmp_path), "HOME": str(tmp_path)})


@pytest.fixture
def without_vagrant(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes Vagrant off PATH."""
    return lambda: monkeypatch.setenv("PATH", "/nowhere")


@pytest.fixture
def network() -> IPv4Network:
    """VirtualBox's, in settings.yml."""
    return IPv4Network("192.168.56.0/24")
