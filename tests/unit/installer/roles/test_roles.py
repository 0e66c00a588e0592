"""What roles want of hosts: golden renders, and properties that hold for every role.

The goldens are rewritten with ROMANA_GOLDEN=write; review the difference.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from upstart_grammar import parse

from installer import releases
from installer.artifacts.catalogue import Resolved
from installer.engine.plan import applies
from installer.hosts.init import Upstart
from installer.resources import (
    Directory,
    File,
    Image,
    Manifest,
    Module,
    Package,
    Resource,
    Service,
)
from installer.roles import ROLES
from installer.roles.role import Target

GOLDEN = Path(__file__).parent / "golden"
Targets = Callable[..., Target]
TRUSTY = {
    "os_id": "ubuntu",
    "os_version": "14.04",
    "kernel": "4.4.0-148-generic",
    "init": "upstart",
    "python": "3.4",
    "cgroup": "v1",
    "modules": ("overlay", "nf_conntrack", "ip_tables", "ip_set", "veth"),
}
CONTAINER = {"container": "systemd-nspawn", "cgroup": "v1", "swap_mb": 512}


def resources(target: Target) -> dict[str, Resource]:
    """Everything the host should hold, by id."""
    found: dict[str, Resource] = {}
    for role in ROLES:
        if applies(role, target.cluster, target.host, leads=target.leads):
            for each in role.resources(target):
                assert found.get(each.id, each) == each, f"{each.id} wanted twice, differently"
                found[each.id] = each
    return found


def content(found: dict[str, Resource], path: str) -> str:
    wanted = found[f"file:{path}"]
    assert isinstance(wanted, File)
    return wanted.data.decode()


def shown(found: dict[str, Resource]) -> str:
    """Units and configuration files as one text; certificates differ from run to run and are left
    out."""
    parts = []
    for each in found.values():
        if isinstance(each, Service):
            parts.append(f"### {each.id}\n{each.init.render(each)}# ready: {each.ready}\n")
        elif isinstance(each, File) and not each.secret and "BEGIN" not in each.data.decode():
            parts.append(f"### {each.id} {each.mode:o} {each.owner}\n{each.data.decode()}")
        else:
            parts.append(f"### {each.id}\n")
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("case", "host", "changed"),
    [
        ("controller-v1.20", "c1", {}),
        ("node-v1.20-container", "n1", CONTAINER),
        ("node-v1.34", "n1", {"version": "v1.34.1"}),
        ("controller-v1.31-ubuntu-14.04", "c1", {**TRUSTY, "version": "v1.31.9"}),
        ("node-v1.20-ubuntu-14.04", "n1", TRUSTY),
    ],
)
def test_golden(target: Targets, case: str, host: str, changed: dict[str, object]) -> None:
    text = shown(resources(target(host, **changed)))
    path = GOLDEN / f"{case}.txt"
    if os.environ.get("ROMANA_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("host", ["c1", "n1"])
@pytest.mark.parametrize("minor", releases.supported())
def test_every_version_renders_sound_yaml(target: Targets, host: str, minor: int) -> None:
    found = resources(target(host, version=f"v1.{minor}.1"))
    for each in found.values():
        if isinstance(each, File) and each.path.endswith((".yaml", ".yml", ".conf")):
            assert yaml.safe_load(each.data), each.path
        if isinstance(each, Manifest):
            assert all(item["kind"] for item in yaml.safe_load_all(each.content))


def test_private_keys_lie_only_where_they_are_used(target: Targets) -> None:
    node = resources(target("n1"))
    keys = {
        each.path
        for each in node.values()
        if isinstance(each, File) and (b"PRIVATE" in each.data or b"client-key" in each.data)
    }
    assert keys == {
        "/var/lib/kubelet/pki/kubelet.key",
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
        "/etc/kubernetes/kubelet.conf",
        "/etc/kubernetes/kube-proxy.conf",
        "/etc/romana/agent.key",
    }


@pytest.mark.parametrize("host", ["c1", "n1"])
def test_whatever_holds_a_secret_is_0600_and_never_shown(target: Targets, host: str) -> None:
    key = target(host).credentials.encryption_key.encode()
    for each in resources(target(host)).values():
        if isinstance(each, File):
            holds = any(text in each.data for text in (b"PRIVATE", b"client-key-data", key))
            assert not holds or (each.secret and each.mode == 0o600), each.path


@pytest.mark.parametrize("system", [{}, TRUSTY], ids=["today", "ubuntu-14.04"])
@pytest.mark.parametrize("host", ["c1", "n1"])
def test_services_restart_on_everything_they_read(
    target: Targets, host: str, system: dict[str, object]
) -> None:
    """Whatever a service's command names and the installer writes is an input of the service."""
    found = resources(target(host, **system))
    written = {each.path: each.id for each in found.values() if isinstance(each, File)}
    for each in found.values():
        if isinstance(each, Service):
            inputs = {item.id for item in each.restart_on}
            for word in each.command[1:]:
                path = word.partition("=")[2]
                assert path not in written or written[path] in inputs, f"{each.id}: {path}"


@pytest.mark.parametrize("system", [{}, TRUSTY], ids=["today", "ubuntu-14.04"])
@pytest.mark.parametrize("host", ["c1", "n1"])
def test_inputs_come_before_their_service(
    target: Targets, host: str, system: dict[str, object]
) -> None:
    order = list(resources(target(host, **system)))
    for id_, each in resources(target(host, **system)).items():
        if isinstance(each, Service):
            for item in each.restart_on:
                assert order.index(item.id) < order.index(id_), f"{item.id} after {id_}"


def test_nothing_listens_beyond_loopback_without_authentication(target: Targets) -> None:
    found = resources(target("c1"))
    apiserver = found["service:kube-apiserver"]
    assert isinstance(apiserver, Service)
    assert "--anonymous-auth=false" in apiserver.command
    assert "--authorization-mode=Node,RBAC" in apiserver.command
    for name in ("kube-controller-manager", "kube-scheduler"):
        service = found[f"service:{name}"]
        assert isinstance(service, Service)
        assert {"--bind-address=127.0.0.1", "--port=0"} <= set(service.command)
    kubelet = yaml.safe_load(content(found, "/var/lib/kubelet/config.yaml"))
    assert kubelet["authentication"]["anonymous"]["enabled"] is False
    assert kubelet["authorization"]["mode"] == "Webhook"
    assert kubelet["readOnlyPort"] == 0
    etcd = found["service:etcd"]
    assert isinstance(etcd, Service)
    assert {"--client-cert-auth", "--peer-client-cert-auth"} <= set(etcd.command)
    assert not any("http://" in word for word in etcd.command)


def test_host_in_a_container(target: Targets) -> None:
    found = resources(target("n1", **CONTAINER))
    kubelet = yaml.safe_load(content(found, "/var/lib/kubelet/config.yaml"))
    assert (kubelet["cgroupDriver"], kubelet["failSwapOn"]) == ("cgroupfs", False)
    assert "restrict_oom_score_adj = true" in content(found, "/etc/containerd/config.toml")
    assert "module:romana" not in found
    machine = resources(target("n1"))
    kubelet = yaml.safe_load(content(machine, "/var/lib/kubelet/config.yaml"))
    assert (kubelet["cgroupDriver"], kubelet["failSwapOn"]) == ("systemd", True)
    assert "module:romana" in machine


def test_agent_configuration_is_accepted_by_the_agent(target: Targets) -> None:
    from romana.agent.config import parse

    for host in ("c1", "n1"):
        text = content(resources(target(host)), "/etc/romana/agent.yml")
        config = parse(yaml.safe_load(text), "agent.yml")
        assert config.name == host
        assert config.kubernetes.address().servers == ("https://198.18.0.11:6443",)
    assert config.pods.zones == ("default", "east", "west")


def test_package_repository_comes_before_packages(target: Targets) -> None:
    plain = target("n1")
    local = replace(
        plain, cluster=replace(plain.cluster, package_repository="deb [trusted=yes] file:/r ./")
    )
    order = list(resources(local))
    packages = next(id_ for id_ in order if id_.startswith("package:"))
    assert order.index("file:/etc/apt/sources.list.d/romana.list") < order.index(packages)
    assert "file:/etc/apt/sources.list.d/romana.list" not in resources(plain)


def test_packages_that_a_bundle_carries_come_from_nowhere_else(target: Targets) -> None:
    plain = target("n1")
    tar = Resolved(name="debian-12", version="2 packages", path=Path("/b/p.tar"), sha256="1" * 64)
    for system, carried in (("debian-12", True), ("ubuntu-24.04", False)):
        found = resources(
            replace(plain, artifacts=replace(plain.artifacts, packages={system: tar}))
        )
        order = list(found)
        package = next(each for each in found.values() if isinstance(each, Package))
        assert ("archive:/opt/romana/packages" in found) == carried
        assert package.only_from == ("/etc/romana/packages.list" if carried else "")
        if carried:
            text = content(found, package.only_from)
            assert text == "deb [trusted=yes] file:/opt/romana/packages ./\n"
            assert order.index("archive:/opt/romana/packages") < order.index(package.id)


def test_directories_of_secrets_are_closed(target: Targets) -> None:
    found = resources(target("c1"))
    for path in ("/var/lib/kubelet/pki", "/var/lib/etcd"):
        directory = found[f"directory:{path}"]
        assert isinstance(directory, Directory)
        assert directory.mode == 0o700


@pytest.mark.parametrize("host", ["c1", "n1"])
@pytest.mark.parametrize("minor", [20, 23, 24, 27, 31])
def test_every_service_is_a_job_that_upstart_understands(
    target: Targets, host: str, minor: int
) -> None:
    found = resources(target(host, version=f"v1.{minor}.1", **TRUSTY))
    services = [each for each in found.values() if isinstance(each, Service)]
    assert all(isinstance(each.init, Upstart) for each in services)
    for each in services:
        job = parse(each.name, each.init.render(each))
        assert job.start_on == ("runlevel", ("[2345]",))
        assert job.settings["console"] == "log"
        assert "expect" not in job.settings
        assert job.respawn is (each.type != "oneshot")
        assert job.processes


@pytest.mark.parametrize("host", ["c1", "n1"])
def test_order_is_said_by_the_later_service(target: Targets, host: str) -> None:
    """upstart knows no `before`: whoever is named there has to say `after` himself."""
    found = resources(target(host, **TRUSTY))
    services = {
        f"{each.name}.service": each for each in found.values() if isinstance(each, Service)
    }
    for name, each in services.items():
        for later in each.before:
            assert name in services[later].after, f"{later} does not come after {name}"
        for earlier in each.after:
            assert earlier in services or earlier.endswith(".target"), f"{name}: no {earlier}"


@pytest.mark.parametrize("host", ["c1", "n1"])
def test_what_ubuntu_14_04_lacks_is_brought(target: Targets, host: str) -> None:
    found = resources(target(host, **TRUSTY))
    wanted = ["archive:/opt/containerd/1.0", "binary:/usr/local/bin/runc"]
    wanted += ["archive:/opt/cni/plugins-1.0", "archive:/opt/romana/python-1.0"]
    wanted += ["archive:/opt/etcd/1.0"] if host == "c1" else []
    assert [id_ for id_ in wanted if id_ not in found] == []
    assert ("archive:/opt/etcd/1.0" in found) is (host == "c1")
    packages = next(id_ for id_ in found if id_.startswith("package:")).partition(":")[2].split(",")
    assert "cgroup-lite" in packages
    assert not {"containerd", "runc", "etcd-server", "python3", "nftables"} & set(packages)
    assert not any("/opt/containerd" in id_ for id_ in resources(target(host)))


def test_a_mirror_takes_the_place_of_archives_that_have_moved(target: Targets) -> None:
    plain = target("n1", **TRUSTY)
    mirror = "http://old.example.net/ubuntu"
    moved = replace(plain, cluster=replace(plain.cluster, package_mirror=mirror))
    assert content(resources(moved), "/etc/apt/sources.list").splitlines()[1:] == [
        f"deb {mirror} {suite} main universe"
        for suite in ("trusty", "trusty-updates", "trusty-security")
    ]
    order = list(resources(moved))
    packages = next(id_ for id_ in order if id_.startswith("package:"))
    assert order.index("file:/etc/apt/sources.list") < order.index(packages)
    assert "file:/etc/apt/sources.list" not in resources(plain)


def test_without_an_overlay_files_are_copied(target: Targets) -> None:
    bare = {**TRUSTY, "modules": ("nf_conntrack", "ip_tables", "ip_set", "veth")}
    found = resources(target("n1", **bare))
    assert 'snapshotter = "native"' in content(found, "/etc/containerd/config.toml")
    images = [each for each in found.values() if isinstance(each, Image)]
    assert {each.snapshotter for each in images} == {"native"}
    module = found["module:romana"]
    assert isinstance(module, Module)
    assert "overlay" not in module.modules
    assert "overlay" in resources(target("n1", **TRUSTY))["module:romana"].modules  # type: ignore[attr-defined]
