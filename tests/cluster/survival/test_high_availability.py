"""Three controllers: any one may die, the first one too, and be replaced; all of them may, and be
restored; and the API goes on, or comes back, while pods notice nothing.

The tests share one cluster and go through its life in their order.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import yaml
from documented import Page

from installer.images import BUSYBOX
from installer.platforms.sandbox.platform import Sandbox
from romana.lab.stream import Stream

PAGE = Page("operations.md", section="High availability")
pytestmark = PAGE.mark
ADDRESSES = {"c1": 10, "c2": 11, "c3": 12, "c4": 13}
QUICK = ("--set", "cluster.smoke=false")
PORT = 8080
LIMIT_S = 60
GENEROUS_S = 20
"""What the API's absence must not exceed anywhere; what it is on a machine of its own is 5 s, and
printed."""
PATIENCE_S = 5
"""How long a connection may take: the machine's processors are busy with more than this."""
CONTROL_PLANE = "etcd kube-apiserver kube-controller-manager kube-scheduler"
ETCDCTL = (
    "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --command-timeout=5s"
    " --cacert=/etc/kubernetes/pki/etcd/ca.crt"
    " --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt"
    " --key=/etc/kubernetes/pki/etcd/healthcheck-client.key"
)
ASK = (
    "curl -fsS -o /dev/null --max-time 1 --cacert /etc/kubernetes/pki/ca.crt --cert"
    " /var/lib/kubelet/pki/kubelet-client-current.pem https://127.0.0.1:7443/api/v1/nodes/{0}"
)


@dataclass
class Three:
    """The cluster, and the inventory that it is made by."""

    operator: object
    inventory: Path
    addresses: dict[str, str] = field(default_factory=dict)

    def write(self, controllers: str, nodes: str = "") -> tuple[str, str]:
        """Has the inventory say it; all hosts run pods."""
        names = dict.fromkeys((*controllers.split(), *nodes.split()))
        document = {
            "cluster": {"name": self.operator.name},
            "network": {
                "pods": "10.112.0.0/12",
                "services": "10.96.0.0/16",
                "hosts": "198.18.0.0/24",
            },
            "hosts": {name: {"address": f"198.18.0.{ADDRESSES[name]}"} for name in names},
            "groups": {"controller": controllers.split(), "nodes": list(names)},
            "vars": {"memory_mb": 1024},
        }
        self.inventory.write_text(yaml.safe_dump(document))
        return ("-i", str(self.inventory))

    def machine(self, name: str):
        return Sandbox().machine(self.operator.cluster, name)

    def voters(self, asked: str) -> set[str]:
        """Names of etcd's members that vote."""
        listed = json.loads(self.operator.on(asked, f"{ETCDCTL} member list -w json"))["members"]
        return {each["name"] for each in listed if not each.get("isLearner")}

    def leader_of_etcd(self) -> str:
        """The host of etcd's leader."""
        shown = self.operator.on("c2", f"{ETCDCTL} endpoint status --cluster -w json")
        (address,) = (
            each["Endpoint"]
            for each in json.loads(shown)
            if each["Status"]["leader"] == each["Status"]["header"]["member_id"]
        )
        number = int(address.removesuffix(":2379").rpartition(".")[2])
        return next(name for name, last in ADDRESSES.items() if last == number)

    def inside(self, host: str, pod: str) -> Path:
        """The file of a pod's network namespace, as it can be opened here."""
        script = (
            "for n in $(ls /run/netns); do ip -n $n -o -4 addr show 2>/dev/null |"
            f" grep -qF ' {self.addresses[pod]}/' && echo $n; done || :"
        )
        (name,) = self.operator.on(host, script).split()
        return Path(f"/proc/{self.operator.leader(host)}/root/run/netns/{name}")

    def kubectl(self, *words: str, stdin: str = "") -> str:
        """kubectl with a kubeconfig that names a server that answers."""
        told = self.operator.run("kubeconfig")
        PAGE.ran("romana-install kubeconfig", told.code)
        assert told.code == 0, told.err
        return self.operator.kubectl(*words, stdin=stdin)


@dataclass
class Asked:
    """When the API answered, and when it did not, on one host by its balancer."""

    times: list[tuple[float, bool]] = field(default_factory=list)

    def gap_s(self) -> float:
        """The longest time without an answer."""
        answered = [at for at, well in self.times if well]
        return max(later - earlier for earlier, later in zip(answered, answered[1:], strict=False))

    @property
    def answering(self) -> bool:
        return bool(self.times) and self.times[-1][1]


@contextmanager
def asking(three: Three, host: str) -> Iterator[Asked]:
    """Asks the API ten times a second, in a way that etcd's majority has to answer."""
    script = (
        f"while :; do if {ASK.format(host)} 2>/dev/null; then echo yes; else echo no; fi;"
        " sleep 0.1; done"
    )
    words = ("nsenter", "-t", str(three.operator.leader(host)), "-a", "sh", "-c", script)
    asked = Asked()
    # nsenter leaves the asking to a child of its own.
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:

        def read() -> None:
            for line in process.stdout:
                asked.times.append((time.monotonic(), line.strip() == "yes"))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield asked
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            reader.join()


def pod(name, node):
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["httpd", "-f", "-p", str(PORT), "-h", "/tmp"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"role": name}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }


def admit(*roles):
    """The policy of `server`."""
    peers = [{"podSelector": {"matchLabels": {"role": role}}} for role in roles]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "guard"},
        "spec": {
            "podSelector": {"matchLabels": {"role": "server"}},
            "ingress": [{"from": peers}] if peers else [],
        },
    }


@pytest.fixture(scope="module")
def three(operator, tmp_path_factory) -> Iterator[Three]:
    home = tmp_path_factory.mktemp("home")
    with operator("pytest-ha", home) as found:
        made = Three(found, home / "three.yml")
        ended = found.sandbox(*made.write("c1 c2 c3"))
        assert ended.code == 0, ended
        assert ended.of("CheckResult")
        assert all(check["passed"] for check in ended.of("CheckResult"))
        yield made


@pytest.fixture(scope="module")
def pods(three, eventually) -> Three:
    items = [pod("server", "c3"), pod("friend", "c2"), pod("stranger", "c2"), admit("friend")]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    three.kubectl("apply", "-f", "-", stdin=json.dumps(listed))
    three.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    for each in json.loads(three.kubectl("get", "pods", "-o", "json"))["items"]:
        three.addresses[each["metadata"]["name"]] = each["status"]["podIP"]
    return three


@contextmanager
def unnoticed(three: Three) -> Iterator[tuple[Stream, Stream]]:
    """What happens meanwhile costs no allowed connection, and lets no forbidden one through."""
    server = three.addresses["server"]
    friend, stranger = (
        Stream(three.inside("c2", name), (server,), PORT, patience_s=PATIENCE_S)
        for name in ("friend", "stranger")
    )
    with friend, stranger:
        yield friend, stranger
    assert friend.failed == []
    assert len(friend.passed) > 20
    assert stranger.passed == []
    assert stranger.tried > 20


def answers(three: Three, host: str) -> bool:
    """Whether a host is answered by its balancer."""
    return bool(three.operator.on(host, f"{ASK.format(host)} 2>/dev/null && echo yes || :"))


def test_three_members_vote_and_hosts_ask_by_their_balancers(three, eventually):
    assert three.voters("c1") == {"c1", "c2", "c3"}
    for host in ("c1", "c2", "c3"):
        eventually(LIMIT_S, partial(answers, three, host), "the API answers")
        for file in ("kubelet", "kube-proxy", "scheduler", "controller-manager", "admin"):
            three.operator.on(host, f"grep -qF https://127.0.0.1:7443 /etc/kubernetes/{file}.conf")
    again = three.operator.sandbox("-i", str(three.inventory))
    assert again.code == 0
    assert again.results("changed") == {}


def test_the_api_goes_on_when_a_control_plane_is_killed(pods, eventually):
    victim = pods.leader_of_etcd()
    observer = "c2" if victim != "c2" else "c3"
    running = f"systemctl is-active -q {CONTROL_PLANE}"
    with unnoticed(pods), asking(pods, observer) as asked:
        eventually(LIMIT_S, lambda: asked.answering, "the API answers")
        pods.operator.on(victim, f"systemctl kill -s KILL {CONTROL_PLANE}")
        killed = len(asked.times)
        eventually(LIMIT_S, lambda: len(asked.times) > killed + 30, "asked often")
        eventually(LIMIT_S, lambda: asked.answering, "the API answers")
    print(f"control plane of {victim} killed: {asked.gap_s():.1f} s without an answer")
    assert asked.gap_s() < GENEROUS_S

    def back() -> bool:
        up = pods.operator.on(victim, f"{running} && echo yes || :")
        return bool(up) and answers(pods, victim)

    eventually(LIMIT_S, back, "it runs again")
    eventually(LIMIT_S, lambda: healthy(pods, victim), "etcd is whole")


def healthy(three: Three, host: str) -> bool:
    script = f"{ETCDCTL} endpoint health >/dev/null 2>&1 && echo yes || :"
    return bool(three.operator.on(host, script))


def test_a_run_goes_on_without_a_controller(pods):
    operator = pods.operator
    operator.on("c1", "systemctl stop ssh ssh.socket 2>/dev/null || :")
    operator.on("c2", "echo '# by hand' >>/etc/crictl.yaml")
    try:
        ended = operator.sandbox(*QUICK, "-i", str(pods.inventory))
    finally:
        operator.on("c1", "systemctl start ssh")
    assert ended.code == 1
    assert ended.recap["c1"]["unreachable"] == 1
    assert (ended.recap["c2"]["changed"], ended.recap["c2"]["failed"]) == (1, 0)
    assert "c1 because it could not be reached" in ended.stopped


def test_the_api_goes_on_when_the_first_controller_loses_power(pods, eventually):
    with unnoticed(pods), asking(pods, "c2") as asked:
        eventually(LIMIT_S, lambda: asked.answering, "the API answers")
        pods.machine("c1").stop(orderly=False)
        down = len(asked.times)
        eventually(LIMIT_S, lambda: len(asked.times) > down + 40, "asked often")
        eventually(LIMIT_S, lambda: asked.answering, "the API answers")
    print(f"c1 without power: {asked.gap_s():.1f} s without an answer")
    assert asked.gap_s() < GENEROUS_S


def test_policies_change_while_a_controller_is_dead(pods, eventually):
    server = pods.addresses["server"]
    with Stream(pods.inside("c2", "stranger"), (server,), PORT) as stranger:
        pods.kubectl("apply", "-f", "-", stdin=json.dumps(admit("friend", "stranger")))
        eventually(LIMIT_S, lambda: stranger.passed, "it is let in")
    pods.kubectl("apply", "-f", "-", stdin=json.dumps(admit("friend")))
    with Stream(pods.inside("c2", "stranger"), (server,), PORT) as stranger:
        eventually(
            LIMIT_S,
            lambda: stranger.failed and stranger.failed[-1] > max((0, *stranger.passed)) + 2,
            "it is kept out again",
        )


def test_a_step_that_would_lose_the_majority_is_refused_and_nothing_is_changed(pods):
    """c1 is dead: of two members that would be left, one."""
    machine = pods.machine("c1")
    assert not machine.running
    told = pods.operator.sandbox("--check", *pods.write("c1 c2", "c3"))
    pods.write("c1 c2 c3")
    assert told.code == 1
    assert "without c3 etcd would have 1 of 2 members alive" in told.err
    assert pods.voters("c2") == {"c1", "c2", "c3"}


def test_the_dead_first_controller_is_replaced(pods):
    began = time.monotonic()
    with unnoticed(pods), asking(pods, "c2") as asked:
        words = pods.write("c2 c3 c4")
        told = pods.operator.sandbox("--check", *words)
        ended = pods.operator.sandbox(*QUICK, *words)
    PAGE.ran("romana-install sandbox -i hosts.yml --check", told.code)
    PAGE.ran("romana-install sandbox -i hosts.yml", ended.code)
    assert told.code == 2
    ((_, _, removal),) = (key for key in told.results("changed") if key[1] == "etcd-lost")
    assert removal.startswith("condition:etcd has let c1 (")
    assert ended.code == 0, ended
    print(
        f"c1 replaced by c4 in {time.monotonic() - began:.0f} s; at most"
        f" {asked.gap_s():.1f} s without an answer"
    )
    assert asked.gap_s() < GENEROUS_S
    assert pods.voters("c4") == {"c2", "c3", "c4"}
    servers = pods.operator.on("c2", "cat /etc/haproxy/romana.cfg")
    assert "198.18.0.10" not in servers
    assert "198.18.0.13" in servers


def test_all_controllers_destroyed_come_back_from_a_backup(pods, tmp_path):
    operator, file = pods.operator, tmp_path / "backup.tar.gz"
    told = operator.run("backup", "-o", str(file))
    assert told.code == 0, told.err
    for name in ("c2", "c3", "c4"):
        machine = pods.machine(name)
        machine.stop(orderly=False)
        machine.remove()
    shutil.rmtree(operator.state)
    began = time.monotonic()
    restored = operator.run("restore", str(file), "--yes", "--json")
    assert restored.code == 0, restored
    print(f"all controllers restored in {time.monotonic() - began:.0f} s, smoke test included")
    assert all(check["passed"] for check in restored.of("CheckResult"))
    assert pods.voters("c2") == {"c2", "c3", "c4"}
    assert "guard" in pods.kubectl("get", "networkpolicy", "-o", "name")
    again = operator.sandbox("-i", str(pods.inventory))
    assert again.code == 0
    assert again.results("changed") == {}


def test_controllers_become_nodes(pods):
    operator = pods.operator
    ended = operator.sandbox(*QUICK, *pods.write("c3", "c2 c4"))
    assert ended.code == 0, ended
    assert pods.voters("c3") == {"c3"}
    for host in ("c2", "c4"):
        operator.on(host, f"for s in {CONTROL_PLANE}; do ! systemctl is-active -q $s; done")
        operator.on(host, "[ ! -e /etc/kubernetes/pki/ca.key ] && [ ! -e /etc/haproxy/romana.cfg ]")
    assert len(pods.kubectl("get", "nodes", "-o", "name").split()) >= 3
    again = operator.sandbox(*QUICK, "-i", str(pods.inventory))
    assert again.code == 0
    assert again.results("changed") == {}


def test_every_command_was_executed():
    assert PAGE.left() == []
