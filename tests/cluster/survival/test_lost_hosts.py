"""Hosts that are not there, go away in the middle, or are not who they were: told in one line each,
and the others are finished."""

import os
import shutil
import signal

import pytest

HOSTS = ("controller", "node1", "node2")
QUICK = ("--set", "cluster.smoke=false")
EDIT = "echo '# by hand' >>{0}"
CRICTL, CONTAINERD = "/etc/crictl.yaml", "/etc/containerd/config.toml"


def reasons(ended, host):
    """Why a host was not reached, as the operator reads it."""
    found = ended.results("unreachable", "failed").values()
    return [result["reason"] for result in found if result["host"] == host]


@pytest.fixture
def edited(installed):
    """A file is to be mended on every host. At the end all is well again."""
    for host in HOSTS:
        installed.on(host, EDIT.format(CRICTL))
    yield installed
    assert installed.sandbox(*QUICK).code == 0
    assert installed.run("status").code == 0


def test_a_host_that_does_not_answer_is_told_and_the_others_finish(edited):
    edited.on("node2", "systemctl stop ssh")
    ended = edited.sandbox(*QUICK)
    edited.on("node2", "systemctl start ssh")
    assert ended.code == 1
    (reason,) = reasons(ended, "node2")
    assert reason.startswith("node2 (root@198.18.0.12:22): no SSH connection: ")
    assert "\n" not in reason
    assert ended.recap["node2"]["unreachable"] == 1
    for host in ("controller", "node1"):
        assert (ended.recap[host]["changed"], ended.recap[host]["failed"]) == (1, 0)
    again = edited.sandbox(*QUICK)
    assert again.code == 0
    assert [key[0] for key in again.results("changed")] == ["node2"]


def test_a_host_that_loses_power_in_the_middle_is_told_and_started_by_the_next_run(edited):
    for host in HOSTS:
        edited.on(host, EDIT.format(CONTAINERD))
    leader = edited.leader("node2")

    def restarting(event):
        return (
            event["event"] == "Progress" and event["host"] == "node2" and "service" in event["what"]
        )

    ended = edited.watched(restarting, lambda: os.kill(leader, signal.SIGKILL), *QUICK)
    assert ended.code == 1
    # Its last words may still come: "Reload daemon failed", where systemctl ended after systemd.
    assert len(reasons(ended, "node2")) == 1
    assert ended.recap["node2"]["unreachable"] + ended.recap["node2"]["failed"] == 1
    assert "stopped in role runtime on node2" in ended.stopped
    for host in ("controller", "node1"):
        assert ended.recap[host]["changed"] == 3
        assert ended.recap[host]["failed"] == ended.recap[host]["skipped"] == 0
    again = edited.sandbox(*QUICK)
    assert again.code == 0, again
    assert {key[0] for key in again.results("changed")} == {"node2"}


def test_a_host_with_another_host_key_is_refused(edited):
    key = "/etc/ssh/ssh_host_ed25519_key"
    edited.on("node1", f"cp -p {key} /root/; yes | ssh-keygen -q -t ed25519 -N '' -f {key}")
    edited.on("node1", "systemctl restart ssh")
    try:
        ended = edited.sandbox(*QUICK)
    finally:
        edited.on("node1", f"cp -p /root/ssh_host_ed25519_key {key}; systemctl restart ssh")
    assert ended.code == 1
    (reason,) = reasons(ended, "node1")
    assert "node1 (root@198.18.0.11:22): shows the host key ssh-ed25519 SHA256:" in reason
    assert reason.endswith(
        "is pinned (someone may be in between; if the host was set up anew, replace the pinned key)"
    )
    assert ended.recap["node2"]["changed"] == 1


def test_a_wrong_key_to_log_in_with_is_told(edited):
    key = edited.state / "sandbox/id_ed25519"
    shutil.copy(key, key.with_name("kept"))
    key.unlink()
    os.system(f"ssh-keygen -q -t ed25519 -N '' -f {key}.other && mv {key}.other {key}")
    try:
        ended = edited.sandbox("--check")
    finally:
        key.with_name("kept").rename(key)
        key.with_name("id_ed25519.other.pub").unlink()
    assert ended.code == 1
    for host in HOSTS:
        (reason,) = reasons(ended, host)
        assert f"refuses {key} (Authentication failed.)" in reason
        assert ended.recap[host]["unreachable"] == 1


@pytest.mark.parametrize("directory", ["/var/tmp", "/etc/romana"])
def test_a_disk_without_space_is_told_and_the_others_finish(edited, directory):
    """Once where files arrive, once where they belong."""
    edited.on("node2", EDIT.format("/etc/romana/agent.yml"))
    edited.on("node2", f"mount -t tmpfs -o size=4k small {directory}")
    try:
        ended = edited.sandbox(*QUICK)
    finally:
        edited.on("node2", f"umount {directory}")
    assert ended.code == 1
    assert "on node2 because" in ended.stopped
    assert "No space left on device" in ended.stopped
    assert "\n" not in ended.stopped
    assert ended.recap["node2"]["failed"] == 1
    assert ended.recap["controller"]["changed"] == ended.recap["node1"]["changed"] == 1


def test_two_runs_at_once_are_refused(edited):
    with edited.begin("sandbox", "--yes", "--json", *QUICK) as first:
        assert first.stdout
        first.stdout.readline()
        first.send_signal(signal.SIGSTOP)
        second = edited.sandbox()
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
    assert first.returncode == 0
    assert second.code == 1
    line = second.err.splitlines()[0]
    assert line.startswith("error: the cluster is being worked on by root@")
    assert f"process {first.pid} (romana-install sandbox -n pytest" in line
    assert "wait for it to end, or end that process" in second.err
