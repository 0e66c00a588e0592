"""docs/ubuntu-14.04.md: what it tells to type is typed, and what it says is said."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner
from old_machine import Machine

from installer.artifacts.upstream import UPSTREAM
from installer.cli import main
from installer.hosts.init import Upstart
from installer.inventory import Request, load
from installer.resources import Service

PAGE = (Path(__file__).parents[3] / "docs/ubuntu-14.04.md").read_text()


def typed(prompt: str) -> list[tuple[str, list[str]]]:
    """Commands behind a prompt, each with the output that the page shows."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            name, sign, command = line.partition("$ " if "$ " in line else "# ")
            if sign and name in ("host", "operator"):
                found.append((command if name == prompt else "", []))
            elif found:
                found[-1][1].append(line)
    return [each for each in found if each[0]]


def test_what_is_typed_on_a_host(machine: Machine) -> None:
    init = Upstart()
    job = Service("kubelet", init=init, description="x", command=("/bin/kubelet",))
    machine.root.put("/bin/kubelet", "#!/bin/sh\necho started\nwhile :; do sleep 1; done\n")
    machine.root.put("/etc/init/kubelet.conf", init.render(job), 0o644)
    machine.init.boot()
    machine.eventually_is("kubelet", "start/running")
    commands = typed("host")
    assert len(commands) == 7
    for command, shown in commands:
        status, said = machine.sh(command)
        assert status == 0, said
        if shown != ["..."]:
            assert re.sub(r"process \d+", "process PID", said).splitlines() == shown, command
    assert machine.root.forbidden == ()


def test_what_the_operator_types(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    inventory = re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert inventory
    (tmp_path / "hosts.yml").write_text(inventory[1])
    commands = [shlex.split(command) for command, _ in typed("operator")]
    assert [words[0] for words in commands] == ["ssh-keygen", *["romana-install"] * 3]
    subprocess.run(commands[0], cwd=tmp_path, check=True)
    for words in commands[1:]:
        # Without servers no further than whether it is understood.
        done = CliRunner().invoke(main, [*words[1:], "--help"])
        assert done.exit_code == 0, done.output
    cluster = load(
        tmp_path / "hosts.yml", Request(platform="static", clusters=tmp_path / "state")
    ).cluster
    assert cluster.package_mirror.startswith("http://")
    assert all(host.ssh.key == tmp_path / "keys/trusty" for host in cluster.hosts)


def test_the_page_names_the_versions_that_are_brought() -> None:
    for item in UPSTREAM.values():
        assert f"| {item.version} |" in PAGE


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
        assert f"\n{problem}\n" in PAGE
