"""A whole controller on Ubuntu 14.04: the real roles and the real engine, every probe and repair
carried out by dash and tools that know the options of 2014, in a root without Python; upstart's
double starts what they lay down. Kubernetes' programs, its API and the network are stand-ins."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from old_machine import Machine, eventually

from installer import images, pki
from installer.artifacts.catalogue import KUBERNETES_PROGRAMS, Artifacts, Resolved
from installer.artifacts.checksums import sha256_of
from installer.cluster import Cluster, Host, Network
from installer.engine.apply import apply
from installer.engine.plan import Plan, probe_all, wanted
from installer.events import Event, ResourceResult
from installer.hosts.gather import gather
from installer.resources import Manifest, Service
from installer.resources.manifest import _digest, _key
from installer.roles import ROLES
from installer.roles.preflight import examine
from installer.roles.role import Target

VERSION = "v1.31.9"
SLEEPER = b"#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 1; done\n"
KUBECTL = b"""#!/bin/sh
# What was applied is there; a node has the label that it is given.
case " $* " in
*" apply "*) cat objects.json >>/run/applied ;;
*" label node "*) echo node-role.kubernetes.io/control-plane= >/run/role ;;
*" get node "*) cat /run/role 2>/dev/null ;;
*" get "*) cat >/dev/null; [ ! -e /run/applied ] || cat /run/rows ;;
esac
"""
CTR = b"""#!/bin/sh
# Images by name, with their labels.
mkdir -p /run/images
[ "$1" = -n ] && shift 2
image=/run/images/${3##*/}
case "$1 $2" in
"images ls") [ ! -e "$image" ] || { echo REF; echo "x $(cat "$image")"; } ;;
"images import") cat >/run/imported ;;
"images label") echo "$4" >"$image" ;;
esac
"""


def archive(path: Path, **members: bytes) -> Resolved:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_", "-"))
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return _resolved(path)


def _resolved(path: Path, sha256: str = "") -> Resolved:
    return Resolved(name=path.name, version="1.0", path=path, sha256=sha256 or sha256_of(path))


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """What is laid down: sleepers by the right names, packed as the real ones are."""
    programs = {}
    for name in KUBERNETES_PROGRAMS:
        content = KUBECTL if name == "kubectl" else SLEEPER
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(content))
        programs[name] = _resolved(path, hashlib.sha256(content).hexdigest())
    (tmp_path / "runc").write_bytes(SLEEPER)
    (tmp_path / "image.tar").write_bytes(b"layers")
    image = _resolved(tmp_path / "image.tar")
    upstream = {
        "containerd": archive(
            tmp_path / "containerd.tgz",
            bin__containerd=SLEEPER,
            bin__ctr=CTR,
            bin__containerd_shim_runc_v2=SLEEPER,
        ),
        "runc": _resolved(tmp_path / "runc"),
        "cni-plugins": archive(
            tmp_path / "cni.tgz",
            **{"./loopback": SLEEPER, "./portmap": SLEEPER, "./bridge": SLEEPER},
        ),
        "etcd": archive(tmp_path / "etcd.tgz", etcd_v1__etcd=SLEEPER, etcd_v1__etcdctl=SLEEPER),
        "python": archive(tmp_path / "python.tgz", python__bin__python3=SLEEPER),
    }
    release = archive(
        tmp_path / "romana.tgz",
        bin__romana=SLEEPER,
        bin__romana_agent=SLEEPER,
        bin__romana_cni=SLEEPER,
    )
    return Artifacts(
        kubernetes=VERSION,
        programs=programs,
        releases={"3.11": release},
        images=tuple(
            Resolved(name=ref, version="1", path=image.path, sha256=image.sha256)
            for ref in (images.PAUSE, images.BUSYBOX)
        ),
        upstream=upstream,
    )


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
        machine.root.put("/run/rows", "".join(_rows(made)), 0o644)
        return made

    return installation


def _rows(made: Installation) -> Iterator[str]:
    """How kubectl lists what was applied."""
    for each in made.wanted.resources:
        for item in each._objects() if isinstance(each, Manifest) else ():
            kind, namespace, name = _key(item)
            yield f"{kind} {namespace or '<none>'} {name} {_digest(item)}\n"


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
