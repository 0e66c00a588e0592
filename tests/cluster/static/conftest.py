"""Servers in two racks with a router between them, and an operator who reaches them only through
one of them: made of the sandbox's machines, but the installer is told nothing of that.

Each server lets `deploy` log in, who may use sudo with a password. `office` runs commands where
the operator sits: a network of its own, from which there is a way to alpha alone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml
from desk import Desk, bare_system, fetch, on
from documented import Page

from installer.commands.clusters import DEFAULT
from installer.platforms.keys import ensure_key
from installer.platforms.sandbox import leftovers
from installer.platforms.sandbox.content import APT_SOURCE
from installer.platforms.sandbox.leftovers import HOSTS, prefix_of
from installer.platforms.sandbox.machine import Machine
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


@dataclass(frozen=True, kw_only=True)
class Office(Desk):
    """Where the operator types: a directory with `hosts.yml`, and a home with keys."""

    servers: dict[str, Machine]
    password: str = PASSWORD

    @property
    def state(self) -> Path:
        """State directory of the cluster."""
        return self.state_of("baremetal")

    def on(self, server: str, script: str) -> str:
        """What a script prints on a server. It gets there without SSH."""
        return on(self.servers[server], script)


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Three bare servers that answer, and the operator."""
    directory = tmp_path_factory.mktemp("office")
    with hold(f"{prefix_of(NAME)}-tests"):
        leftovers.remove(NAME)
        try:
            yield _made(directory)
        finally:
            leftovers.remove(NAME)
        assert not leftovers.take(NAME)


def _made(directory: Path) -> Office:
    image, packages = bare_system()
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
    found = Office(place=_place(lab), home=directory, page=Page("bare-metal.md"), servers=servers)
    for name in servers:
        _let_operator_in(found, name, public)
    _write_files(found)
    fetch(directory, "static", directory / "hosts.yml")
    return found


def _place(lab: Lab) -> Namespace:
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
    (office.home / "hosts.yml").write_text(text)
    (office.home / "hosts.json").write_text(json.dumps(_ansible(yaml.safe_load(text))))
    password = office.home / "sudo-password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    lines = []
    for name, machine in office.servers.items():
        port = PORTS[name]
        address = str(machine.address) if port == 22 else f"[{machine.address}]:{port}"
        lines.append(f"{address} {machine.host_key}\n")
    (office.home / ".ssh/known_hosts").write_text("".join(lines))


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
