"""Servers in two racks with a router between them, and an operator who reaches them only through
one of them: made of the sandbox's machines, but the installer is told nothing of that.

Each server lets `deploy` log in, who may use sudo with a password. `office` runs commands where
the operator sits: a network of its own, from which there is a way to alpha alone.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml

from installer import artifacts, distributions
from installer.artifacts.catalogue import cache_directory
from installer.commands.clusters import DEFAULT
from installer.inventory import Request, load
from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import leftovers, preconditions
from installer.platforms.sandbox.content import APT_SOURCE
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.image import ensure_image
from installer.platforms.sandbox.leftovers import HOSTS, prefix_of
from installer.platforms.sandbox.machine import Machine
from installer.platforms.sandbox.packages import ensure_packages
from installer.platforms.sandbox.storage import ensure_storage
from romana.lab.exclusive import hold
from romana.lab.namespaces import Lab, Namespace
from romana.lab.naming import Segment

NAME = "pytest-static"
PASSWORD = 'Pa55 word\'s "quoted"'
SEGMENTS = {
    "rack-1": Segment(name="rack-1", network=IPv4Network("198.18.1.0/24")),
    "rack-2": Segment(name="rack-2", network=IPv4Network("198.18.2.0/24")),
    "office": Segment(name="office", network=IPv4Network("198.18.3.0/24")),
}
PLACES = {"alpha": ("rack-1", 10), "beta": ("rack-1", 11), "gamma": ("rack-2", 10)}
PORTS = {"alpha": 22, "beta": 22, "gamma": 2222}
# What the inventory of the documentation says, and what is true here.
REAL = {
    "192.0.2.": "198.18.1.",
    "198.51.100.": "198.18.2.",
    "203.0.113.5": "198.18.1.10",
    "kubernetes: auto": f"kubernetes: v1.20.2\n  package_repository: {json.dumps(APT_SOURCE)}",
    "# sudo_password_file:": "sudo_password_file:",
    "user: deploy}": "user: deploy, key: .ssh/id_ed25519}",
    "\n  user: deploy\n": "\n  user: deploy\n  key: .ssh/id_ed25519\n",
}


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

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

    def results(self, *outcomes: str) -> list[tuple[str, str]]:
        """Host and resource of the results that had one of these outcomes."""
        return [
            (result["host"], result["resource"])
            for result in self.of("ResourceResult")
            if result["outcome"] in outcomes
        ]


@dataclass(frozen=True)
class Office:
    """Where the operator types: a directory with `hosts.yml`, and a home with keys."""

    place: Namespace
    directory: Path
    servers: dict[str, Machine]
    password: str = PASSWORD
    typed: list[str] = field(default_factory=list)
    """All commands so far."""

    @property
    def state(self) -> Path:
        """State directory of the cluster."""
        return self.directory / "state/romana/clusters/baremetal"

    @property
    def environment(self) -> dict[str, str]:
        """Of commands. The cache is everybody's."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return {
            **os.environ,
            "PATH": path,
            "HOME": str(self.directory),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_CACHE_HOME": cache,
        }

    def words(self, line: str) -> tuple[str, ...]:
        """What runs a line of shell in the office."""
        script = f"cd {shlex.quote(str(self.directory))} && {line}"
        return self.place.command("sh", "-c", script)

    def type(self, line: str, *options: str, then: str = "") -> Ended:
        """A command as the documentation has it, with options that it needs without a terminal; or
        with a line that comes after it in the same shell."""
        self.typed.append(line)
        whole = f"{line} {shlex.join(options)}" if options else line
        done = subprocess.run(
            self.words(f"{whole}\n{then}"),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def on(self, server: str, script: str, *, check: bool = True) -> str:
        """What a script prints on a server. It gets there without SSH."""
        leader = self.servers[server].leader
        assert leader is not None, f"{server} is down"
        words = ("nsenter", "-t", str(leader), "-a", "sh", "-euc", script)
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{script} on {server}: {done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Three bare servers that answer, and the operator."""
    directory = tmp_path_factory.mktemp("office")
    preconditions.require(lambda event: None)
    with hold(f"{prefix_of(NAME)}-tests"):
        leftovers.remove(NAME)
        try:
            yield _made(directory)
        finally:
            leftovers.remove(NAME)
        assert not leftovers.take(NAME)


def _made(directory: Path) -> Office:
    distribution = read_distribution()
    image = ensure_image(distribution, lambda event: None)
    names = distributions.names(distribution.id, distribution.version)
    assert names is not None
    wanted = (*names.base, *names.runtime, *names.etcd)
    packages = ensure_packages(image, wanted, lambda event: None)
    ensure_storage(HOSTS / NAME)
    lab = Lab(prefix_of(NAME), IPv4Network("198.18.0.0/24")).ensure()
    servers = {}
    for name, (rack, number) in PLACES.items():
        segment = lab.segment(SEGMENTS[rack])
        servers[name] = Machine(
            lab=lab,
            hostname=name,
            address=segment.network[number],
            directory=HOSTS / NAME / name,
            segment=segment,
        )
    public = ensure_key(directory / ".ssh/id_ed25519")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: each.ensure(image, packages, public), servers.values()))
    found = Office(_desk(lab), directory, servers)
    for name in servers:
        _let_operator_in(found, name, public)
    _write_files(found)
    _fetch(found)
    return found


def _desk(lab: Lab) -> Namespace:
    """The operator's place: alpha is all of the racks that it has a way to."""
    desk = lab.host("desk", "198.18.3.10", lab.segment(SEGMENTS["office"]))
    alpha = IPv4Address("198.18.1.10")
    for network in ("198.18.1.0/24", "198.18.2.0/24"):
        desk.ip("route", "add", "unreachable", network)
    desk.ip("route", "add", f"{alpha}/32", "via", "198.18.3.1")
    return desk


def _let_operator_in(office: Office, name: str, public: str) -> None:
    secret = shlex.quote(f"deploy:{PASSWORD}")
    office.on(
        name,
        "useradd -m -s /bin/bash -G sudo deploy\n"
        f"echo {secret} | chpasswd\n"
        "mkdir -m 700 /home/deploy/.ssh\n"
        f"echo {shlex.quote(public)} >/home/deploy/.ssh/authorized_keys\n"
        "chown -R deploy: /home/deploy/.ssh\n"
        # Nobody logs in as root.
        "rm /root/.ssh/authorized_keys\n"
        f"echo 'Port {PORTS[name]}' >/etc/ssh/sshd_config.d/port.conf\n"
        "systemctl restart ssh\n",
    )


def _write_files(office: Office) -> None:
    text = (DEFAULT / "baremetal.yml").read_text()
    for documented, real in REAL.items():
        assert documented in text
        text = text.replace(documented, real)
    (office.directory / "hosts.yml").write_text(text)
    (office.directory / "hosts.json").write_text(json.dumps(_ansible(yaml.safe_load(text))))
    password = office.directory / "sudo-password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    lines = []
    for name, machine in office.servers.items():
        port = PORTS[name]
        address = str(machine.address) if port == 22 else f"[{machine.address}]:{port}"
        lines.append(f"{address} {machine.host_key}\n")
    (office.directory / ".ssh/known_hosts").write_text("".join(lines))


def _ansible(inventory: dict) -> dict:
    """The same inventory, as `ansible-inventory --list` prints it."""
    shared = inventory["vars"]
    words = f"-o ProxyJump={shared['user']}@{inventory['static']['bastions']['jump']['address']}"
    hostvars = {
        name: {
            "ansible_host": host["address"],
            "ansible_port": host.get("port", 22),
            "ansible_user": shared["user"],
            "ansible_ssh_private_key_file": shared["key"],
            "ansible_become": True,
            "ansible_become_password": PASSWORD,
            # A server can always be reached through itself, too.
            "ansible_ssh_common_args": f"{words} -o StrictHostKeyChecking=no",
            "romana_segment": host["segment"],
            "romana_labels": host.get("labels", {}),
            "romana_static": {key: inventory["static"][key] for key in ("routing", "segments")},
            "romana_cluster": inventory["cluster"],
            "romana_network": inventory["network"],
        }
        for name, host in inventory["hosts"].items()
    }
    return {
        "_meta": {"hostvars": hostvars},
        "all": {"children": ["kube_control_plane", "kube_node"]},
        "kube_control_plane": {"hosts": inventory["groups"]["controller"]},
        "kube_node": {"hosts": inventory["groups"]["nodes"]},
    }


def _fetch(office: Office) -> None:
    """What the operator's machine has to have; the office has no way out to get it."""
    request = Request(platform="static", clusters=office.directory / "fetched")
    cluster = load(office.directory / "hosts.yml", request).cluster
    cluster.state.mkdir(parents=True)
    row = distributions.find(read_distribution().id, read_distribution().version)
    assert row is not None
    artifacts.prepare(
        cluster, pythons={row.python}, emit=lambda event: None, cache=cache_directory()
    )
