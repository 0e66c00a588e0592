"""Hosts of the sandbox: they boot, are reached, come back, and leave nothing."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from documented import Page

from installer.images import BUSYBOX, images
from installer.platforms.sandbox import leftovers
from romana.lab import forward

BOTH = ("controller", "node1")
PAGE = Page("sandbox.md")


def await_(condition, limit_s=20.0):
    limit = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < limit, "in time"
        time.sleep(0.05)


def boots(made, name):
    return made.ssh(name, "journalctl --list-boots | wc -l").strip()


def test_hosts_are_whole_machines_and_unlike_each_other(hosts):
    names = [hosts.ssh(name, "hostname").strip() for name in BOTH]
    identities = {hosts.ssh(name, "cat /etc/machine-id") for name in BOTH}
    assert tuple(names) == BOTH
    assert len(identities) == 2
    for name in BOTH:
        state = hosts.ssh(name, "systemctl is-system-running --wait; systemctl --failed")
        assert state.startswith("running"), state
        assert hosts.ssh(name, "id -u; cat /proc/1/comm").split() == ["0", "systemd"]


def test_hosts_reach_each_other_but_nothing_outside(hosts):
    assert "1 received" in hosts.ssh("node1", "ping -c1 -W2 198.18.0.10")
    assert "unreachable" in hosts.ssh("node1", "ping -c1 -W2 203.0.113.1 2>&1 || true").lower()


@PAGE.mark
def test_the_commands_of_the_page_look_into_a_host(hosts):
    """The page's cluster has another name, and cgroup v2 alone one hierarchy less."""
    name = hosts.cluster.name
    there = {"romana-sandbox": f"romana-{name}", "/sandbox/sandbox/": f"/sandbox/{name}/"}
    if not Path("/sys/fs/cgroup/pids").exists():
        there["/cgroup/pids/"] = "/cgroup/"
    for command in PAGE.commands:
        line = command.text
        for documented, real in there.items():
            line = line.replace(documented, real)
        done = subprocess.run(("sh", "-c", line), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout.strip(), line
        PAGE.ran(command.text, done.returncode)
    assert PAGE.left() == []


def test_dial_gives_a_socket_to_sshd(hosts):
    for host in hosts.cluster.hosts:
        with host.ssh.dial() as link:
            assert link.recv(4) == b"SSH-"


def test_another_host_key_is_refused(hosts):
    first, second = hosts.cluster.hosts
    swapped = replace(first, ssh=replace(first.ssh, host_key=second.ssh.host_key))
    impostor = replace(hosts, cluster=replace(hosts.cluster, hosts=(swapped, second)))
    with pytest.raises(AssertionError, match="Host key verification failed"):
        impostor.ssh(first.name, "true")


def test_a_second_run_changes_nothing(hosts):
    assert hosts.platform.plan(hosts.cluster) == ()
    before = leftovers.take(hosts.cluster.name)
    began = time.monotonic()
    again = hosts.platform.provision(hosts.cluster, hosts.events.append)
    seconds = time.monotonic() - began
    assert again == hosts.cluster
    assert set(before.processes) <= set(leftovers.take(hosts.cluster.name).processes)
    assert seconds < 2


def test_packages_install_without_a_way_out(hosts):
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
    hosts.ssh("node1", "apt-get -q update")
    hosts.ssh("node1", f"{install} containerd runc >/dev/null 2>&1")
    assert "conntrack" in hosts.ssh("node1", f"{install} conntrack && conntrack --version")


def test_a_container_runs_in_a_host(hosts):
    image = next(image for image in images() if image.ref == BUSYBOX)
    test_packages_install_without_a_way_out(hosts)
    machine = hosts.platform.machine(hosts.cluster, "node1")
    root = Path(f"/proc/{machine.leader}/root")
    (root / "root/image.tar").write_bytes(image.path.read_bytes())
    hosts.ssh("node1", "systemctl start containerd && ctr -n k8s.io images import /root/image.tar")
    run = f"ctr -n k8s.io run --rm --memory-limit 67108864 {BUSYBOX} one /bin/sh -c"
    assert hosts.ssh("node1", f"{run} 'echo from a container'") == "from a container\n"
    assert hosts.ssh("node1", "findmnt -no FSTYPE -T /var/lib/containerd").strip() != "overlay"


def test_each_host_has_control_groups_of_its_own(hosts):
    make = (
        "cd /sys/fs/cgroup; if [ -d memory ]; then cd memory; fi;"
        " mkdir -p kubepods; sleep 300 >/dev/null 2>&1 & echo $! >kubepods/cgroup.procs;"
        " cat kubepods/cgroup.procs"
    )
    clear = (
        "cd /sys/fs/cgroup; if [ -d memory ]; then cd memory; fi;"
        " kill $(cat kubepods/cgroup.procs); until rmdir kubepods; do sleep 0.05; done 2>/dev/null"
    )
    seen = {name: hosts.ssh(name, f"({make}) </dev/null 2>&1").split() for name in BOTH}
    for name in BOTH:
        hosts.ssh(name, clear)
    assert [len(pids) for pids in seen.values()] == [1, 1]


def test_the_published_port_leads_to_the_controller_and_stays_the_same(hosts):
    unit = "systemd-run -q --unit=answer python3 -m http.server -d /etc/ssh 6443"
    hosts.ssh("controller", unit)
    url = hosts.platform.publish(hosts.cluster).replace("https:", "http:")
    key = next(host.ssh.host_key for host in hosts.cluster.hosts if host.name == "controller")

    def answer():
        with urllib.request.urlopen(f"{url}/ssh_host_ed25519_key.pub", timeout=5) as reply:
            return reply.read().decode().strip()

    hosts.ssh("controller", "until nc -z 198.18.0.10 6443; do sleep 0.05; done")
    assert answer() == key
    namespace = leftovers.prefix_of(hosts.cluster.name)
    (pid,) = forward.find(namespace)
    os.kill(pid, signal.SIGKILL)
    await_(lambda: not forward.find(namespace))
    assert hosts.platform.publish(hosts.cluster).replace("https:", "http:") == url
    assert answer() == key
    hosts.ssh("controller", "systemctl stop answer")


@pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "plug pulled"])
def test_reboot_keeps_files_and_nothing_else(hosts, orderly):
    hosts.ssh("node1", "echo kept >/root/kept; sync; ip route add 10.9.0.0/24 via 198.18.0.10")
    before = boots(hosts, "node1"), boots(hosts, "controller")
    hosts.platform.reboot(hosts.cluster, "node1", orderly=orderly)
    assert hosts.ssh("node1", "cat /root/kept") == "kept\n"
    assert "10.9.0.0" not in hosts.ssh("node1", "ip route")
    assert "1 received" in hosts.ssh("controller", "ping -c1 -W1 198.18.0.11")
    assert boots(hosts, "node1") != before[0]
    assert boots(hosts, "controller") == before[1]


def test_a_host_can_reboot_itself(hosts):
    machine = hosts.platform.machine(hosts.cluster, "node1")
    leader, before = machine.leader, boots(hosts, "node1")
    hosts.ssh("node1", "systemctl --no-block reboot", may_be_cut=True)
    await_(lambda: machine.leader not in (None, leader))
    machine.await_ssh()
    assert boots(hosts, "node1") != before


def test_a_dead_host_is_started_again_and_a_new_one_is_made(make_cluster, tmp_path):
    with make_cluster("pytest-grow", tmp_path / "state") as made:
        made.ssh("node1", "echo kept >/root/kept; sync")
        machine = made.platform.machine(made.cluster, "node1")
        os.kill(machine.leader, signal.SIGKILL)
        await_(lambda: not machine.running)
        grown = made.grown(2)
        assert made.platform.plan(grown) == (
            "start host node1, which is down",
            "make host node2 (198.18.0.12)",
        )
        grown = replace(made, cluster=made.platform.provision(grown, made.events.append))
        assert made.platform.plan(grown.cluster) == ()
        assert grown.ssh("node1", "cat /root/kept") == "kept\n"
        assert grown.ssh("node2", "hostname") == "node2\n"


def test_a_killed_run_is_finished_by_the_next(make_cluster, tmp_path):
    script = """
        import importlib.util, sys
        from pathlib import Path
        from installer.platforms.sandbox.platform import Sandbox
        spec = importlib.util.spec_from_file_location("support", sys.argv[1])
        support = importlib.util.module_from_spec(spec)
        sys.modules["support"] = support
        spec.loader.exec_module(support)
        cluster = support.cluster_value(sys.argv[2], Path(sys.argv[3]), 1)
        Sandbox().provision(cluster, lambda event: print("event", flush=True))
    """
    with make_cluster("pytest-killed", tmp_path / "state") as made:
        for delay in (0.0, 0.15, 0.4):
            made.platform.destroy(made.cluster, made.events.append)
            words = (
                str(Path(__file__).with_name("conftest.py")),
                made.cluster.name,
                str(made.cluster.state),
            )
            with subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(script), *words], stdout=subprocess.PIPE
            ) as run:
                assert run.stdout.readline() == b"event\n"
                time.sleep(delay)
                run.kill()
            again = replace(made, cluster=made.platform.provision(made.cluster, lambda event: None))
            assert made.platform.plan(again.cluster) == ()
            assert again.ssh("node1", "hostname") == "node1\n"


def test_destroy_leaves_nothing(make_cluster, tmp_path):
    before = leftovers.take("pytest-gone")
    assert not before
    with make_cluster("pytest-gone", tmp_path / "state") as made:
        made.platform.publish(made.cluster)
        during = leftovers.take("pytest-gone")
        assert len(during.namespaces) == 3
        assert during.processes
        assert during.cgroups
        assert any("python" in process for process in during.processes), "the forwarder is counted"
        made.platform.destroy(made.cluster, made.events.append)
        assert leftovers.take("pytest-gone") == before
        assert "romana-pytest-gone" not in Path("/proc/self/mountinfo").read_text()
        spelled = [event.text for event in made.events if hasattr(event, "text")]
        assert spelled[-1].endswith("0 namespaces, 0 mounts, 0 processes, 0 cgroups, 0 directories")
