"""A host's answer, an API server's, and what they amount to."""

import subprocess
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address

import pytest
from rich.console import Console

from installer.cluster import Host
from installer.pki.certificates import Subject, issue, new_authority
from installer.status import as_json, reading, render
from installer.status.rendering import duration
from installer.status.values import ClusterStatus

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
AUTHORITY = new_authority("kubernetes", NOW - timedelta(days=350))
LEAF = issue(AUTHORITY, Subject(common_name="node", client=True), NOW - timedelta(days=350))
BODY = "".join(LEAF.certificate.decode().splitlines()[1:-1])
HOST = Host(name="node1", address=IPv4Address("198.18.0.11"), groups=("nodes",))
OUTPUT = f"""\
os Debian GNU/Linux 12 (bookworm)
kernel 6.1.0-18-amd64
uptime 3600.50
booted 60050 100
service containerd ActiveState=active ActiveEnterTimestampMonotonic=600500000 NRestarts=0 UnitFileState=enabled
service romana-agent ActiveState=active ActiveEnterTimestampMonotonic=3000500000 NRestarts=2 UnitFileState=enabled
service kubelet ActiveState=failed ActiveEnterTimestampMonotonic=0 NRestarts=5 UnitFileState=enabled
service kube-proxy ActiveState=active ActiveEnterTimestampMonotonic=1 NRestarts=0 UnitFileState=disabled
certificate /var/lib/kubelet/pki/kubelet.crt {BODY}
certificate /etc/kubernetes/pki/empty.crt
embedded /etc/kubernetes/kube-proxy.conf {b64encode(LEAF.certificate).decode()}
embedded /etc/kubernetes/none.conf
version etcd
version containerd containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1
version runc runc version 1.1.5+ds1
agent {{"version": "0.10", "enforced": true, "failure": "", "endpoints": 3, "programs": 1, "blocks": ["10.112.0.0/25"], "problems": []}}
"""  # noqa: E501


@pytest.fixture
def host():
    return reading.host_status(HOST, OUTPUT)


def cluster(*hosts, nodes=(), **fields) -> ClusterStatus:
    values = {
        "name": "c",
        "at": NOW,
        "api": "https://x",
        "kubernetes": "v1.20.2",
        "api_problem": "",
    }
    return ClusterStatus(hosts=hosts, nodes=nodes, **(values | fields))


def test_services(host) -> None:
    found = {service.name: service for service in host.services}
    assert found["containerd"].age_s == pytest.approx(3000)
    assert found["romana-agent"].restarts == 2
    assert [name for name, service in found.items() if service.healthy] == [
        "containerd",
        "romana-agent",
    ]


def test_certificates_of_files_and_of_kubeconfigs(host) -> None:
    assert {c.path.rpartition("/")[2]: c.days(NOW) for c in host.certificates} == {
        "kubelet.crt": 15,
        "kube-proxy.conf": 15,
    }


def test_versions(host) -> None:
    assert dict(host.versions) == {"containerd": "1.6.20~ds1", "runc": "1.1.5+ds1"}


def test_agent(host) -> None:
    assert host.agent is not None
    assert (host.agent.version, host.agent.endpoints, host.agent.problem) == ("0.10", 3, "")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('{"enforced": false, "failure": "nft: no such table"}', "nft: no such table"),
        ('{"enforced": false, "failure": ""}', "policies are not in force yet"),
        ('{"enforced": true, "problems": ["a", "b"]}', "a; b"),
        (
            '{"enforced": true, "problems": ["watch of pods: no", "b", "watch of nodes: no"]}',
            "b; watch of nodes, pods: no",
        ),
        ("Error: the agent is not running", "the agent is not running"),
    ],
)
def test_agent_with_a_problem(said, problem) -> None:
    agent = reading.host_status(HOST, f"agent {said}\n").agent
    assert agent is not None
    assert agent.problem == problem


def test_no_agent() -> None:
    assert reading.host_status(HOST, "agent sh: 1: romana: not found\n").agent is None


def test_problems(host) -> None:
    assert cluster(host).problems == (
        "node1: service kubelet is failed",
        "node1: service kube-proxy does not start at boot",
        "node1: certificate /var/lib/kubelet/pki/kubelet.crt ends in 15 days",
        "node1: certificate /etc/kubernetes/kube-proxy.conf ends in 15 days",
        "node1: has not joined the cluster",
    )


def test_lost_host_and_api_server() -> None:
    found = cluster(reading.lost(HOST, "no SSH connection"), api_problem="no answer", kubernetes="")
    assert found.problems == ("no answer", "node1: no SSH connection")


def test_nodes() -> None:
    def node(name, status, taints=()):
        return {
            "metadata": {"name": name},
            "spec": {"taints": [{"effect": t} for t in taints]},
            "status": {
                "conditions": [{"type": "Ready", "status": status, "message": "runtime is down"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.20.2",
                    "containerRuntimeVersion": "containerd://1",
                },
            },
        }

    pods = {"items": [{"spec": {"nodeName": "b"}}, {"spec": {}}, {"spec": {"nodeName": "b"}}]}
    listed = {"items": [node("b", "False"), node("a", "True", ["NoSchedule"])]}
    a, b = reading.nodes(listed, pods)
    assert (a.name, a.ready, a.schedulable, a.pods) == ("a", True, False, 0)
    assert (b.name, b.ready, b.schedulable, b.pods) == ("b", False, True, 2)
    assert "node b: not ready: runtime is down" in cluster(nodes=(a, b)).problems


def test_tables_and_data_say_the_same(host) -> None:
    lost = replace(HOST, name="node2", address=IPv4Address("198.18.0.12"))
    status = cluster(host, reading.lost(lost, "no SSH connection"))
    console = Console(width=200, record=True)
    with console.capture() as captured:
        console.print(render(status))
    text = captured.get()
    for word in (
        "node1",
        "containerd",
        "50m",
        "in force, 3 endpoints",
        "1.6.20~ds1",
        "unreachable",
        "15 days",
        "failed",
    ):
        assert word in text
    data = as_json(status)
    assert data["healthy"] is False
    assert data["hosts"][0]["services"][0]["age_s"] == pytest.approx(3000)
    assert data["hosts"][0]["certificates"][0]["ends"].startswith("2026-12")
    assert data["problems"] == list(status.problems)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (61, "1m1s"), (3600, "1h"), (90061, "1d1h"), (59.9, "59s")]
)
def test_duration(seconds, text) -> None:
    assert duration(seconds) == text


def test_script_runs_anywhere(tmp_path) -> None:
    done = subprocess.run(
        ("sh", "-eu", "-c", reading.script(HOST)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert reading.host_status(HOST, done.stdout).uptime_s > 0


CONTROLLER = replace(HOST, name="c1", groups=("controller",))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("snapshot 3600 195290 /s/romana-backup-c-1.tar.gz", None),
        ("", "c1: has no snapshot of etcd"),
        (
            "snapshot 50000 1 /s/f",
            "c1: the last snapshot of etcd is 14 hours old, one is to be taken every 6",
        ),
        (
            "snapshot 60 1 /s/f\nsnapshot-failed etcd gives no snapshot: refused",
            "c1: no snapshot of etcd could be taken: etcd gives no snapshot: refused",
        ),
    ],
)
def test_a_snapshot_that_is_overdue_or_fails_is_a_problem(lines: str, said: str | None) -> None:
    seen = reading.host_status(CONTROLLER, f"{OUTPUT}{lines}\n")
    told = [line for line in cluster(seen, snapshots_s=6 * 3600).problems if "snapshot" in line]
    assert told == ([said] if said else [])
    assert [line for line in cluster(seen, snapshots_s=0).problems if "snapshot" in line] == []


def test_the_age_of_the_last_snapshot_is_shown() -> None:
    seen = reading.host_status(CONTROLLER, f"{OUTPUT}snapshot 7500 195290 /s/f\n")
    assert seen.snapshot is not None
    assert (seen.snapshot.age_s, seen.snapshot.size) == (7500, 195290)
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render(cluster(seen, snapshots_s=6 * 3600)))
    assert "2h5m old" in shown.get()
