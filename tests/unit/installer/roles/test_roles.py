"""What roles want of hosts: golden renders, and properties that hold for every role.

The goldens are rewritten with ROMANA_GOLDEN=write; review the difference.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from installer import releases
from installer.hosts.init import Systemd
from installer.resources import Directory, File, Manifest, Resource, Service
from installer.roles import ROLES
from installer.roles.role import Target

GOLDEN = Path(__file__).parent / "golden"
Targets = Callable[..., Target]
CONTAINER = {"container": "systemd-nspawn", "cgroup": "v1", "swap_mb": 512}


def resources(target: Target) -> dict[str, Resource]:
    """Everything the host should hold, by id."""
    controller = target.host.is_controller
    found: dict[str, Resource] = {}
    for role in ROLES:
        if role.on == "all" or controller:
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
            parts.append(f"### {each.id}\n{Systemd().render(each)}# ready: {each.ready}\n")
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


@pytest.mark.parametrize("host", ["c1", "n1"])
def test_services_restart_on_everything_they_read(target: Targets, host: str) -> None:
    """Whatever a service's command names and the installer writes is an input of the service."""
    found = resources(target(host))
    written = {each.path: each.id for each in found.values() if isinstance(each, File)}
    for each in found.values():
        if isinstance(each, Service):
            inputs = {item.id for item in each.restart_on}
            for word in each.command[1:]:
                path = word.partition("=")[2]
                assert path not in written or written[path] in inputs, f"{each.id}: {path}"


@pytest.mark.parametrize("host", ["c1", "n1"])
def test_inputs_come_before_their_service(target: Targets, host: str) -> None:
    order = list(resources(target(host)))
    for id_, each in resources(target(host)).items():
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


def test_directories_of_secrets_are_closed(target: Targets) -> None:
    found = resources(target("c1"))
    for path in ("/var/lib/kubelet/pki", "/var/lib/etcd"):
        directory = found[f"directory:{path}"]
        assert isinstance(directory, Directory)
        assert directory.mode == 0o700
