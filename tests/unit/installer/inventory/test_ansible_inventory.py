"""What a dynamic inventory of Ansible's prints, as an inventory of ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from installer.errors import InventoryError
from installer.inventory import Inventory, Request, lists_hosts, load

LIST: dict[str, Any] = {
    "_meta": {
        "hostvars": {
            "Alpha.example.com": {
                "ansible_host": "203.0.113.10",
                "romana_address": "192.0.2.10",
                "ansible_user": "deploy",
                "ansible_port": "2222",
                "romana_segment": "rack-1",
                "romana_labels": {"disk": "ssd"},
                "ntp_servers": ["192.0.2.1"],
            },
            "beta": {"ansible_host": "192.0.2.11", "romana_segment": "rack-1"},
            "192.0.2.130": {
                "ansible_ssh_common_args": "-o ProxyJump=op@gw.example.com:2022 -C "
                "-o StrictHostKeyChecking=no",
                "ansible_become": True,
                "ansible_become_password": "hunter2",
                "romana_segment": "rack-2",
            },
            "printer": {"ansible_host": "printer.example.com"},
        }
    },
    "all": {
        "children": ["cluster", "ungrouped"],
        "vars": {
            "romana_cluster": {"name": "theirs", "kubernetes": "v1.34.1"},
            "romana_network": {"pods": "10.112.0.0/12", "services": "10.96.0.0/16"},
            "romana_static": {"routing": "fabric"},
            "ansible_user": "nobody",
        },
    },
    "cluster": {"children": ["kube_control_plane", "kube_node"], "vars": {"ansible_user": "fleet"}},
    "kube_control_plane": {"hosts": ["Alpha.example.com"]},
    "kube_node": {"children": ["racks"], "vars": {"romana_zone": "west"}},
    "racks": {"hosts": ["beta", "192.0.2.130"], "children": ["kube_node"]},
    "ungrouped": {"hosts": ["printer"]},
}
Read = Callable[..., Inventory]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the list, changed."""

    def read(change: Callable[[Any], object] = lambda data: None, *settings: str) -> Inventory:
        data = copy.deepcopy(LIST)
        change(data)
        file = tmp_path / "hosts.json"
        file.write_text(json.dumps(data))
        return load(file, Request(platform="static", clusters=tmp_path, settings=settings))

    return read


def problems(read: Read, change: Callable[[Any], object], tmp_path: Path) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        read(change)
    return [str(each).replace(f"{tmp_path}/", "") for each in caught.value.problems]


def test_it_becomes_a_cluster(read: Read) -> None:
    found = read()
    cluster = found.cluster
    assert (cluster.name, cluster.kubernetes, cluster.section.routing) == (  # type: ignore[attr-defined]
        "theirs",
        "v1.34.1",
        "fabric",
    )
    assert [
        (host.name, str(host.address), host.login, host.ssh.user, host.ssh.port, host.groups)
        for host in cluster.hosts
    ] == [
        ("alpha", "192.0.2.10", "203.0.113.10", "deploy", 2222, ("controller",)),
        ("beta", "192.0.2.11", "192.0.2.11", "fleet", 22, ("nodes",)),
        ("host-192-0-2-130", "192.0.2.130", "192.0.2.130", "fleet", 22, ("nodes",)),
    ]
    assert [host.zone for host in cluster.hosts] == ["rack-1", "west", "west"]
    assert cluster.hosts[0].labels == (("disk", "ssd"),)
    jump = cluster.bastions[0]
    assert cluster.hosts[2].ssh.bastion == jump.name == "jump-gw-example-com"
    assert (jump.login, jump.ssh.user, jump.ssh.port) == ("gw.example.com", "op", 2022)
    assert cluster.hosts[2].ssh.sudo_password is not None
    assert cluster.hosts[2].ssh.sudo_password() == "hunter2"
    assert "hunter2" not in repr(found)


def test_what_is_ignored_is_said(read: Read, tmp_path: Path) -> None:
    assert [each.replace(f"{tmp_path}/", "") for each in read().warnings] == [
        "hosts.json: _meta.hostvars.192.0.2.130.ansible_ssh_common_args: -C is ignored",
        "hosts.json: _meta.hostvars.192.0.2.130.ansible_ssh_common_args: StrictHostKeyChecking "
        "(host keys are always checked) is ignored",
    ]


def test_sections_may_come_with_the_hosts_as_ansible_inventory_prints_them(read: Read) -> None:
    def flat(data: Any) -> None:
        variables = data["all"].pop("vars")
        for held in data["_meta"]["hostvars"].values():
            for name, value in variables.items():
                held.setdefault(name, value)

    assert read(flat).cluster.name == "theirs"


def test_a_host_of_the_inventory_may_be_the_way_in(read: Read) -> None:
    def jump(data: Any) -> None:
        data["_meta"]["hostvars"]["192.0.2.130"]["ansible_ssh_common_args"] = "-J beta"

    cluster = read(jump).cluster
    assert (cluster.hosts[2].ssh.bastion, cluster.bastions) == ("beta", ())


def test_settings_win(read: Read) -> None:
    assert read(lambda data: None, "cluster.name=ours").cluster.name == "ours"


def host(name: str, **values: Any) -> Callable[[Any], object]:
    """A change of a host's variables."""
    return lambda data: data["_meta"]["hostvars"][name].update(values)


UNSOUND = {
    "port": (
        host("beta", ansible_port="ssh"),
        "_meta.hostvars.beta.ansible_port: should be a number from 1 to 65535, is 'ssh'",
    ),
    "name instead of address": (
        host("beta", ansible_host="beta.example.com"),
        "_meta.hostvars.beta.ansible_host: beta.example.com is a name, and hosts know each other "
        "by addresses (add romana_address: its IPv4 address)",
    ),
    "template": (
        host("beta", ansible_user="{{ admin }}"),
        "_meta.hostvars.beta.ansible_user: is a template, which only Ansible fills in "
        "(give its value)",
    ),
    "connection": (
        host("beta", ansible_connection="local"),
        "_meta.hostvars.beta.ansible_connection: is local, and hosts are reached by SSH (use ssh)",
    ),
    "become": (
        host("beta", ansible_become_method="su"),
        "_meta.hostvars.beta.ansible_become_method: is su, and sudo is the way to become root "
        "(use sudo)",
    ),
    "password": (
        host("beta", ansible_password="secret"),
        "_meta.hostvars.beta.ansible_password: is not supported "
        "(log in with a key, and drop the password)",
    ),
    "vault": (
        host("beta", ansible_become_password={"__ansible_vault": "$ANSIBLE_VAULT;1.1"}),
        "_meta.hostvars.beta.ansible_become_password: is not a password that can be read here "
        "(give it by --ask-sudo-password or --sudo-password-file)",
    ),
    "key of ours": (
        host("beta", romana_segmet="a"),
        "_meta.hostvars.beta.romana_segmet: unknown key (did you mean segment?)",
    ),
    "proxy command": (
        host("beta", ansible_ssh_common_args="-o ProxyCommand='nc -x proxy %h %p'"),
        "_meta.hostvars.beta.ansible_ssh_common_args: its ProxyCommand is not an ssh -W %h:%p to "
        "one host (name the way in with romana_bastion)",
    ),
    "two jumps": (
        host("beta", ansible_ssh_common_args="-J a,b"),
        "_meta.hostvars.beta.ansible_ssh_common_args: a,b is not one host to go through "
        "(name the way in with romana_bastion)",
    ),
    "no controller": (
        lambda data: data.pop("kube_control_plane"),
        "groups.controller: no host (name at least one)",
    ),
    "one name for two": (
        lambda data: data["racks"]["hosts"].append("beta.example.com"),
        "_meta.hostvars.beta.example.com: would be beta, as beta is",
    ),
    "a group that is none": (
        lambda data: data.update(kube_control_plane="alpha"),
        "kube_control_plane: should be a group: hosts, children, vars",
    ),
    "no meta": (
        lambda data: data["_meta"].pop("hostvars"),
        "has no _meta.hostvars, as --list of a dynamic inventory prints it",
    ),
}


@pytest.mark.parametrize(("change", "said"), UNSOUND.values(), ids=UNSOUND)
def test_what_is_unsound_has_its_path_there(
    read: Read, tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    assert f"hosts.json: {said}" in problems(read, change, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "-o ProxyCommand='ssh -W %h:%p -q -p 2022 -i k op@gw'",
        '-oProxyCommand="ssh -l op -p2022 -i k gw -W %h:%p"',
    ],
)
def test_an_ssh_that_forwards_is_a_jump(read: Read, tmp_path: Path, text: str) -> None:
    (tmp_path / "k").touch()
    jump = read(host("beta", ansible_ssh_common_args=text)).cluster.bastions[0]
    assert (jump.login, jump.ssh.user, jump.ssh.port) == ("gw", "op", 2022)
    assert jump.ssh.key == tmp_path / "k"


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_executable_is_asked_for_its_list(tmp_path: Path) -> None:
    (tmp_path / "data").write_text(json.dumps(LIST))
    file = script(tmp_path / "inventory", f'[ "$*" = --list ] && cat {tmp_path}/data')
    assert load(file, Request(platform="static", clusters=tmp_path)).cluster.name == "theirs"
    assert lists_hosts(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo no credentials >&2; exit 3", "inventory --list ended with 3: no credentials"),
        ("echo nothing", "not JSON"),
        ("echo []", "has no _meta.hostvars"),
    ],
)
def test_an_executable_that_fails_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = script(tmp_path / "inventory", text)
    with pytest.raises(InventoryError) as caught:
        load(file, Request(platform="static", clusters=tmp_path))
    assert len(caught.value.problems) == 1
    assert said in str(caught.value.problems[0])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("YAML", "all:\n  children:\n    web:\n      hosts:\n        a.example.com:\n"),
        ("YAML", "web:\n  hosts:\n    a.example.com: {ansible_port: 22}\n"),
        ("INI", "[web]\na.example.com ansible_host=192.0.2.1\n\n[web:vars]\nx=1\n"),
        ("INI", "a.example.com ansible_host=192.0.2.1\n"),
    ],
)
def test_ansibles_own_files_are_refused_with_the_way_to_go(
    tmp_path: Path, form: str, text: str
) -> None:
    file = tmp_path / "site"
    file.write_text(text)
    with pytest.raises(InventoryError) as caught:
        load(file, Request(platform="static", clusters=tmp_path))
    assert [str(each) for each in caught.value.problems] == [
        f"{file}: is an inventory of Ansible's in {form} form, which only Ansible reads "
        f"(ansible-inventory -i {file} --list >hosts.json gives the form that -i takes)"
    ]
