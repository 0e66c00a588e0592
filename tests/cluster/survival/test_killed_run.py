"""An installation that goes through everything: hosts that are not fit, SIGKILL in role after role,
the end, and nothing left."""

import json
import signal
import time

import pytest

NODES = ("-c", "1")
LISTEN = (
    "systemd-run -q --unit=squatter-{0} python3 -c 'import socket,time;"
    's=socket.create_server(("0.0.0.0",{0}));time.sleep(600)\''
)
KILLED_IN = ("base", "pki", "runtime", "images", "etcd", "control-plane", "network", "kubelet")


@pytest.fixture(scope="module")
def fresh(operator, tmp_path_factory):
    """Two hosts, and nothing on them: the inventory asks for the impossible."""
    with operator("pytest-fresh", tmp_path_factory.mktemp("fresh")) as found:
        yield found


def working(role):
    """Whether an event says that a host is being changed in a role."""

    def wanted(event):
        return event["event"] == "Progress" and event["what"].startswith(f"{role}: ")

    return wanted


def test_a_run_killed_while_hosts_are_made_leaves_what_destroy_removes(fresh, traces):
    fresh.until(lambda event: event["event"] == "Progress" and "hosts" in event["what"], *NODES)
    time.sleep(0.3)
    assert traces(fresh.name)
    destroyed = fresh.run("destroy", "--yes")
    assert destroyed.code == 0, destroyed.err
    assert not traces(fresh.name)
    assert not fresh.state.exists()


def test_hosts_that_are_not_fit_are_told_all_at_once_and_nothing_is_changed(fresh):
    unfit = fresh.sandbox(*NODES, "--set", "network.mtu=9000")
    assert unfit.code == 1
    assert "node1: its MTU is 1500, less than the 9000 of the inventory" in unfit.err
    for host, port in (("controller", 6443), ("node1", 10250)):
        fresh.on(host, LISTEN.format(port))
        fresh.on(host, f"until ss -ltn | grep -q :{port}; do sleep 0.05; done")
    fresh.on("node1", "mkdir -p /etc/cni/net.d; echo '{}' >/etc/cni/net.d/10-other.conflist")
    fresh.on("controller", "mount -t tmpfs -o size=100m small /var/lib")
    try:
        unfit = fresh.sandbox(*NODES)
    finally:
        fresh.on("controller", "umount /var/lib; systemctl stop squatter-6443")
        fresh.on("node1", "systemctl stop squatter-10250; rm -r /etc/cni")
    assert unfit.code == 1
    problems = [line.strip() for line in unfit.err.splitlines() if line.startswith("  ")]
    assert "the hosts have 4 problems; nothing was changed on them" in unfit.err
    expected = (
        "controller: port 6443 is in use by python3, and kube-apiserver needs it (stop python3, or"
        " give it another port)",
        "controller: 100 MiB are free at /var/lib, 3072 are needed (free some space, or give it a"
        " larger disk)",
        "node1: port 10250 is in use by python3, and kubelet needs it (stop python3, or give it"
        " another port)",
        "node1: /etc/cni/net.d/10-other.conflist is another network's configuration, and the"
        " runtime would take it (remove that network, then: rm /etc/cni/net.d/10-other.conflist)",
    )
    for line in expected:
        assert line in problems
    assert unfit.of("RoleStarted") == []
    assert "absent" in fresh.on("node1", "[ -e /usr/bin/containerd ] || echo absent")


@pytest.mark.parametrize("role", KILLED_IN)
def test_a_killed_run_is_continued(fresh, role):
    """Each run is killed later than the one before, whose work it takes up."""
    fresh.until(working(role), *NODES)
    journal = json.loads((fresh.state / "journal.json").read_text())
    assert (journal["state"], journal["role"]) == ("running", role)


def test_a_run_killed_in_the_smoke_test_is_finished_by_the_next(fresh):
    fresh.until(lambda event: event["event"] == "CheckResult", *NODES)
    last = fresh.sandbox(*NODES)
    assert last.code == 0, last
    notices = [event["text"] for event in last.of("Notice")]
    assert any("because it was killed; continuing from there" in text for text in notices)
    assert last.of("CheckResult")
    assert all(check["passed"] for check in last.of("CheckResult"))
    spaces = json.loads(fresh.kubectl("get", "ns", "-o", "json"))["items"]
    live = [s["metadata"]["name"] for s in spaces if s["status"]["phase"] == "Active"]
    assert [name for name in live if "smoke" in name] == []
    again = fresh.sandbox(*NODES)
    assert again.code == 0
    assert again.results("changed", "failed") == {}


def test_a_killed_destruction_is_finished_by_the_next(fresh, traces):
    seen = traces(fresh.name)
    assert all(vars(seen).values()), seen
    with fresh.begin("destroy", "--yes") as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGKILL)
    destroyed = fresh.run("destroy", "--yes") if fresh.state.exists() else None
    assert destroyed is None or destroyed.code == 0, destroyed
    assert not traces(fresh.name)
    assert not fresh.state.exists()
