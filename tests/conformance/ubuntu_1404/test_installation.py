"""A whole controller on Ubuntu 14.04: the real roles and the real engine, every probe and repair
carried out by dash and tools that know the options of 2014, in a root without Python; upstart's
double starts what they lay down. Kubernetes' programs, its API and the network are stand-ins."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from old_machine import Machine, eventually
from old_payload import VERSION, rows_of

from installer import pki
from installer.artifacts.catalogue import Artifacts
from installer.cluster import Cluster, Host, Network, Snapshots
from installer.engine.apply import apply
from installer.engine.plan import Plan, probe_all, wanted
from installer.events import Event, ResourceResult
from installer.hosts.gather import gather
from installer.resources import Service
from installer.roles import ROLES
from installer.roles.preflight import examine
from installer.roles.role import Target


class Installation:
    """Plans and applies, as a run does."""

    def __init__(self, machine: Machine, target: Target) -> None:
        self.machine, self.target = machine, target
        self.wanted = wanted(ROLES, target)

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.wanted.resources if isinstance(each, Service))

    def plan(self) -> Plan:
        plan = probe_all(ROLES, [self.wanted], {"c1": self.machine.session})
        assert plan.errors == ()
        return plan

    def pending(self) -> tuple[str, ...]:
        """Ids of what would change, and how it is."""
        changes = (item for work in self.plan().works for item in work.changes)
        return tuple(f"{resource.id}: {change.before}" for resource, change in changes)

    def apply(self) -> tuple[str, ...]:
        """Ids of what changed; nothing may fail."""
        events: list[Event] = []
        applied = apply(self.plan(), {"c1": self.machine.session}, events.append)
        results = [each for each in events if isinstance(each, ResourceResult)]
        assert applied.failures == (), [each for each in results if each.outcome == "failed"]
        assert self.machine.root.forbidden == ()
        return tuple(each.resource for each in results if each.outcome == "changed")

    def statuses(self) -> dict[str, str]:
        return {name: self.machine.status(name).partition(" ")[2] for name in self.services}


Make = Callable[[], Installation]


@pytest.fixture
def make(machine: Machine, artifacts: Artifacts, tmp_path: Path) -> Make:
    """An installation on the machine, whose facts are asked of it."""

    def installation() -> Installation:
        host = Host(name="c1", address=IPv4Address("198.18.0.11"), groups=("controller", "nodes"))
        cluster = Cluster(
            name="old",
            platform="static",
            kubernetes=VERSION,
            network=Network(
                pods=IPv4Network("10.112.0.0/12"),
                services=IPv4Network("10.96.0.0/16"),
                hosts=IPv4Network("198.18.0.0/24"),
            ),
            hosts=(host,),
            state=tmp_path / "state",
            package_mirror="http://old.example.net/ubuntu",
            # There is nothing in an etcd that sleeps; the script has tests of its own.
            snapshots=Snapshots(every_s=0),
        )
        facts = {"c1": gather(machine.session, host.address, time.time)}
        assert examine(cluster, facts, VERSION) == ()
        target = Target(
            host=host,
            facts=facts["c1"],
            cluster=cluster,
            others=facts,
            credentials=pki.ensure(cluster),
            artifacts=artifacts,
        )
        made = Installation(machine, target)
        machine.root.put("/run/rows", rows_of(made.wanted.resources), 0o644)
        return made

    return installation


def test_facts_of_such_a_host(make: Make) -> None:
    facts = make().target.facts
    assert (facts.os_id, facts.os_version, facts.init) == ("ubuntu", "14.04", "upstart")
    assert (facts.kernel, facts.cgroup, facts.python) == ("4.4.0-148-generic", "v1", "")
    assert (facts.interface, facts.mtu) == ("eth0", 1500)
    assert facts.listening == ((22, "sshd"), (22, "sshd"))
    assert facts.machine_id == "5c0d1e6a9d3f4b0e8a7c6b5a49382716"
    assert facts.forward_policy == "ACCEPT"


def test_installed_once_left_alone_mended_and_booted(machine: Machine, make: Make) -> None:
    made = make()
    changed = made.apply()
    assert {f"service:{name}" for name in made.services} <= set(changed)
    assert set(made.statuses().values()) == {"start/running"}
    pythons = machine.root.root.rglob("python*")
    assert [path for path in pythons if "opt/romana" not in str(path)] == []
    sources = (machine.root.root / "etc/apt/sources.list").read_text()
    assert "deb http://old.example.net/ubuntu trusty-updates main universe\n" in sources
    assert (machine.root.root / "run/packages/cgroup-lite").exists()
    assert make().apply() == ()

    # A service that dies is started again by upstart, and the installer has nothing to do.
    pid = machine.pid("kube-scheduler")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: machine.pid("kube-scheduler") not in (0, pid))
    machine.eventually_is("kube-scheduler", "start/running")
    assert make().pending() == (), machine.story("kube-scheduler")

    # One whose inputs change restarts, alone.
    before = {name: machine.init.instances[name].running for name in made.services}
    (machine.root.root / "var/lib/kube-proxy/config.yaml").write_text("")
    again = make().apply()
    assert again == ("file:/var/lib/kube-proxy/config.yaml", "service:kube-proxy")
    after = {name: machine.init.instances[name].running for name in made.services}
    assert [name for name in before if before[name] is not after[name]] == ["kube-proxy"]

    _boots_in_order(machine, made)
    assert make().pending() == ()


def _boots_in_order(machine: Machine, made: Installation) -> None:
    machine.reboot()
    eventually(lambda: set(made.statuses().values()) == {"start/running"})
    log = machine.init.log
    for name in made.services:
        service = next(each for each in made.wanted.resources if each.id == f"service:{name}")
        assert isinstance(service, Service)
        for earlier in service.after:
            if earlier.endswith(".service"):
                running = log.index(f"{earlier.removesuffix('.service')} running")
                assert running < log.index(f"{name} spawned"), f"{name} before {earlier}"
