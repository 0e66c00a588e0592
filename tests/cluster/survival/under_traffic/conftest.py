"""Pods and policies on the shared cluster, and probes between them.

Probes are real connections out of real pods' network namespaces, many a second; what a pod tries
from its first instant on is tried by the pod's own process, and read from its log.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from installer.images import BUSYBOX
from romana.lab.stream import Stream

PORT = 8080
SPACE = "survival"
SERVE = f"httpd -f -p {PORT} -h /tmp"
IDLE = "sleep 2147483647"
TRY = (
    "for n in 1 2 3 4; do (while :; do nc -w 1 {0} {1} </dev/null >/dev/null 2>&1"
    " && echo connected; sleep 0.$n; done) & done; wait"
)


@dataclass
class Stage:
    """Pods on the shared cluster: `server` on node2 admits only `friend`; `mute` on node2 may not
    send at all, and tries all the time; so does `insider`, who is next to the server and no
    friend."""

    cluster: object
    service: str
    addresses: dict[str, str]
    block: str

    def inside(self, host: str, pod: str) -> Path:
        """The file of a pod's network namespace, as it can be opened here."""
        address = self.addresses[pod]
        script = (
            "for n in $(ls /run/netns); do"
            f" ip -n $n -o -4 addr show 2>/dev/null | grep -qF ' {address}/' && echo $n; done || :"
        )
        (name,) = self.cluster.on(host, script).split()
        return Path(f"/proc/{self.cluster.leader(host)}/root/run/netns/{name}")

    def stream(self, pod: str, *targets: str, **settings: float) -> Stream:
        """Probes out of a pod of node1."""
        return Stream(self.inside("node1", pod), targets, PORT, **settings)

    @property
    def running(self) -> dict[str, str]:
        """Addresses of the pods that run, by name."""
        return running(self.cluster)

    def put(self, *objects: dict) -> None:
        """Creates or changes objects."""
        put(self.cluster, *objects)

    def said(self, pod: str) -> frozenset[str]:
        """Each time that a pod of node2 got through, in all its lives: lines with their times."""
        logs = f"cat /var/log/pods/{SPACE}_{pod}_*/*/*.log | grep connected || :"
        return frozenset(self.cluster.on("node2", logs).splitlines())

    def repairs(self) -> str:
        """What the agent of node2 has logged of repairs."""
        log = "journalctl -q -o cat -u romana-agent | grep -E 'repair|touched' || :"
        return self.cluster.on("node2", log)

    def table(self) -> list[str]:
        """node2's rules and elements, without what counts or is in no order."""
        printed = self.cluster.on("node2", "nft list table inet romana || :")
        return sorted(re.sub(r"packets \d+ bytes \d+", "", printed).split())

    def agent(self) -> tuple[str, bool]:
        """The agent's process on node2, and whether all is in force."""
        script = (
            "systemctl show -p MainPID --value romana-agent;"
            " romana status --json 2>/dev/null || echo '{}'"
        )
        pid, _, answer = self.cluster.on("node2", script).partition("\n")
        return pid, json.loads(answer).get("enforced", False)


def pod(name, node, command, role=""):
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"role": role or name}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [container],
        },
    }


def policy(name, spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": spec,
    }


GUARD = policy(
    "guard",
    {
        "podSelector": {"matchLabels": {"role": "server"}},
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"role": "friend"}}}],
                "ports": [{"port": PORT}],
            }
        ],
    },
)
SILENCE = policy(
    "silence", {"podSelector": {"matchLabels": {"role": "mute"}}, "policyTypes": ["Egress"]}
)
SPACE_OBJECT = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "server", "namespace": SPACE},
    "spec": {"selector": {"role": "server"}, "ports": [{"port": PORT}]},
}


def put(cluster, *objects):
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(listed))


def running(cluster):
    """Addresses of the stage's pods that run, by name."""
    listed = json.loads(cluster.kubectl("get", "pods", "-n", SPACE, "-o", "json"))["items"]
    return {
        each["metadata"]["name"]: each["status"]["podIP"]
        for each in listed
        if any(c["ready"] for c in each["status"].get("containerStatuses", ()))
    }


@pytest.fixture(scope="session")
def stage(installed, eventually) -> Iterator[Stage]:
    put(
        installed,
        SPACE_OBJECT,
        SERVICE,
        GUARD,
        pod("server", "node2", SERVE),
        pod("open", "node1", SERVE),
        pod("friend", "node1", IDLE),
        pod("stranger", "node1", IDLE),
    )
    try:
        eventually(30, lambda: len(running(installed)) == 4, "pods run")
        found = json.loads(installed.kubectl("get", "svc", "server", "-n", SPACE, "-o", "json"))
        service = found["spec"]["clusterIP"]
        mute = pod("mute", "node2", TRY.format(running(installed)["open"], PORT))
        put(installed, mute, pod("insider", "node2", TRY.format(service, PORT)))
        eventually(30, lambda: len(running(installed)) == 6, "pods run")
        status = json.loads(installed.on("node2", "romana status --json"))
        made = Stage(installed, service, running(installed), status["blocks"][0])
        eventually(10, lambda: made.said("mute"), "mute connects while it may")
        put(installed, SILENCE)
        eventually(5, lambda: quiet(made, "mute"), "mute is silenced")
        yield made
    finally:
        installed.kubectl("delete", "namespace", SPACE, "--wait=false")


def quiet(stage, pod):
    before = stage.said(pod)
    time.sleep(1.5)
    return stage.said(pod) == before


@pytest.fixture(scope="session")
def silence() -> dict:
    """The policy that keeps `mute` from sending."""
    return SILENCE
