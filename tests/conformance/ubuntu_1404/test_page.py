"""docs/ubuntu-14.04.md: what it tells to type is typed, and what it says is said."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from documented import DOCS, Page
from old_machine import Machine
from old_payload import rows_of
from old_root import ChrootSession, OldRoot
from upstart_init import Upstart

from installer.artifacts.catalogue import Artifacts
from installer.artifacts.upstream import UPSTREAM
from installer.cli import main
from installer.cluster import Host
from installer.engine.plan import Wanted, wanted
from installer.hosts.init import Upstart as Jobs
from installer.resources import Service
from installer.roles.role import Role, Target

NAMES = ("alpha", "beta")
# Kubernetes is a stand-in here: no pod would answer, and etcd holds nothing.
SETTINGS = ("--yes", "--set", "cluster.smoke=false", "--set", "backup.every=never")

PAGE = Page("ubuntu-14.04.md")
TEXT = (DOCS / PAGE.name).read_text()
pytestmark = PAGE.mark


@dataclass
class Servers:
    """The page's hosts: roots, each with its init."""

    machines: dict[str, Machine]
    wanted: dict[str, Wanted] = field(default_factory=dict)
    """What the last run wanted of each."""

    def connect(self, host: Host, known_hosts: Path, **_: object) -> ChrootSession:
        """A session on the root, in place of SSH to it; what OpenSSH 6.6 offers has tests of its
        own."""
        assert host.ssh.key is not None
        assert host.ssh.key.exists()
        assert host.ssh.user == "ubuntu"
        return ChrootSession(host.name, self.machines[host.name].root)

    def planned(self, roles: Sequence[Role], target: Target) -> Wanted:
        """As a run plans, with what kubectl will list once it was applied."""
        found = wanted(roles, target)
        self.wanted[found.host] = found
        rows = rows_of(found.resources)
        if rows:
            self.machines[found.host].root.put("/run/rows", rows, 0o644)
        return found


@pytest.fixture
def servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Artifacts
) -> Iterator[Servers]:
    """Hosts of the page's inventory, which the installer reaches without a network."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    found = Servers({name: _machine(tmp_path, name, n) for n, name in enumerate(NAMES)})
    had = replace(artifacts, kubernetes="v1.20.2")
    monkeypatch.setattr("installer.commands.preparing.connect", found.connect)
    monkeypatch.setattr("installer.commands.preparing.wanted", found.planned)
    monkeypatch.setattr("installer.artifacts.prepare", lambda *_, **__: had)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield found
    for machine in found.machines.values():
        machine.init.close()


def _machine(directory: Path, name: str, number: int) -> Machine:
    root = OldRoot(directory / name)
    address = root.root / "real/ip"
    address.write_text(address.read_text().replace("198.18.0.11", f"198.18.0.{21 + number}"))
    if number:
        # The API server is alpha's; a node reaches it as long as its own kubelet runs.
        curl = root.root / "real/curl"
        curl.write_text(curl.read_text().replace("job=kube-apiserver", "job=kubelet"))
    (root.root / "proc/sys/kernel/hostname").write_text(f"{name}\n")
    (root.root / "var/lib/dbus/machine-id").write_text(f"{number:032x}\n")
    return Machine(root, Upstart(root.root), ChrootSession(name, root))


def test_what_is_typed_on_a_host(machine: Machine) -> None:
    init = Jobs()
    job = Service("kubelet", init=init, description="x", command=("/bin/kubelet",))
    machine.root.put("/bin/kubelet", "#!/bin/sh\necho started\nwhile :; do sleep 1; done\n")
    machine.root.put("/etc/init/kubelet.conf", init.render(job), 0o644)
    machine.init.boot()
    machine.eventually_is("kubelet", "start/running")
    for command in (each for each in PAGE.commands if each.where == "host"):
        status, said = machine.sh(command.text)
        assert status == 0, said
        PAGE.ran(command.text, status)
        if command.prints != ("...",):
            shown = tuple(re.sub(r"process \d+", "process PID", said).splitlines())
            assert shown == command.prints
    assert machine.root.forbidden == ()


def test_what_the_operator_types(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the page's order: a key, what is wrong, what would be done, and the installation."""
    (tmp_path / "keys").mkdir()
    inventory = re.search(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert inventory
    (tmp_path / "hosts.yml").write_text(inventory[1])
    monkeypatch.chdir(tmp_path)
    ends = []
    for command in (each for each in PAGE.commands if each.where == "operator"):
        words = shlex.split(command.text)
        if words[0] == "romana-install":
            done = CliRunner().invoke(main, [*words[1:], *(SETTINGS if "static" in words else ())])
            status, said = done.exit_code, done.output
        else:
            status, said = subprocess.run(words, check=False).returncode, ""
        assert status in (0, 2), said
        PAGE.ran(command.text, status)
        ends.append(status)
    assert ends == [0, 0, 2, 0], "the third has said what would change"
    for name, machine in servers.machines.items():
        services = [each for each in servers.wanted[name].resources if isinstance(each, Service)]
        assert services
        for each in services:
            machine.eventually_is(each.name, "start/running")
        assert machine.root.forbidden == ()


def test_every_command_of_the_page_was_typed() -> None:
    assert PAGE.left() == []


def test_the_page_names_the_versions_that_are_brought() -> None:
    for item in UPSTREAM.values():
        assert f"| {item.version} |" in TEXT


def test_what_preflight_says_is_what_it_says() -> None:
    from ipaddress import IPv4Address, IPv4Network

    from installer.cluster import Cluster, Host, Network
    from installer.hosts.gather import parse
    from installer.roles.preflight import examine

    host = Host(name="alpha", address=IPv4Address("198.18.0.21"), groups=("controller", "nodes"))
    network = Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    )
    cluster = Cluster(
        name="old",
        platform="static",
        kubernetes="auto",
        network=network,
        hosts=(host,),
        state=Path("/nonexistent"),
    )
    text = (
        "clock 1\nhostname alpha\nmachine_id m\nos_id ubuntu\nos_version 14.04\n"
        "architecture x86_64\n"
        "init upstart\nuid 0\ncpus 2\nmemory_kb 4000000\nswap_kb 0\ndisk_free_kb 40000000\n"
        "cgroup tmpfs\ncontainer \nforward_policy \naddress eth0 198.18.0.21/24\nmtu eth0 1500\n"
        "module overlay\nmodule nf_conntrack\nmodule ip_tables\nmodule ip_set\nmodule veth\n"
    )
    for kernel, version in (("3.13.0-24-generic", "v1.20.2"), ("4.4.0-148-generic", "v1.34.1")):
        facts = parse(f"{text}kernel {kernel}\n", host.address, 1)
        (problem,) = examine(cluster, {"alpha": replace(facts)}, version)
        assert f"\n{problem}\n" in TEXT
