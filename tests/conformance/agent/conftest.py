"""Two hosts with real agents, fed from a directory of manifests; pods attached by the real
plugin."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

import romana.cni.plugin as plugin
from romana.lab.namespaces import Lab, Namespace
from romana.lab.probes import Outcome, tcp
from romana.lab.responder import Responder

PREFIX = "rt-agent"
PORT = 80


def eventually(condition, limit_s=10.0, pause_s=0.01):
    """Wait for a condition; what it returned."""
    end = time.monotonic() + limit_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {limit_s} s: {condition}"
        time.sleep(pause_s)


@dataclass
class AttachedPod:
    """A pod with its network namespace and its address."""

    key: str
    inside: Namespace
    host: Host
    address: str = ""
    interface: str = ""

    def reaches(self, other, port=PORT, timeout_s=0.4):
        """Whether a new TCP connection passes. A refusal would mean that the packet arrived: that
        is an error here."""
        outcome = tcp(
            self.inside, getattr(other, "address", other), port, timeout_s=timeout_s
        ).outcome
        assert outcome in (Outcome.CONNECTED, Outcome.TIMED_OUT), outcome
        return outcome is Outcome.CONNECTED


class Host:
    """A host in the lab with its agent."""

    def __init__(self, cluster, name, address, block):
        self.name, self.address, self.block = name, address, block
        self.cluster = cluster
        self.inside = cluster.lab.host(name, address)
        self.directory = cluster.directory / name
        self.directory.mkdir()
        self.socket = self.directory / "agent.sock"
        self.log = self.directory / "agent.log"
        self.process = None

    def start(self, wait=True, **settings):
        """Start the agent, with some settings of its own, and wait until it enforces."""
        command = [
            sys.executable,
            "-m",
            "romana.agent.daemon",
            "--config",
            str(self.directory / "agent.yml"),
        ]
        (self.directory / "agent.yml").write_text(
            json.dumps(
                {
                    "node": self.name,
                    "source": f"files:{self.cluster.manifests}",
                    "pods": {"cidrs": self.cluster.cidrs},
                    "socket": str(self.socket),
                    "state": str(self.directory / "state"),
                    "metrics": "127.0.0.1:9607",
                    **settings,
                }
            )
        )
        with self.log.open("ab") as log:
            self.process = self.inside.popen(*command, stderr=log)
        if wait:
            eventually(self.ready)

    def ready(self):
        """Whether the agent says that everything is in force."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("status")["enforced"]
        except OSError:
            return False

    def kill(self):
        """End the agent without a chance to clean up."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """End the agent as systemd does."""
        self.process.terminate()
        assert self.process.wait(10) == 0, self.log.read_text()

    def ask(self, method, **parameters):
        """Ask the agent."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(
                json.dumps({"method": method, "params": parameters}).encode() + b"\n"
            )
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline())
        return answer["result"]

    def cni(self, command, pod, version="1.1.0", **config):
        """Call the plugin as the runtime does; its exit code and output."""
        namespace, name = pod.key.split("/")
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": f"sandbox-{namespace}-{name}",
            "CNI_NETNS": str(pod.inside.path),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}",
        }
        wanted = {
            "cniVersion": version,
            "name": "romana",
            "type": "romana",
            "socket": str(self.socket),
        }
        done = subprocess.run(
            ["/usr/bin/python3", "-IS", plugin.__file__],
            input=json.dumps({**wanted, **config}),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def metrics(self):
        """The agent's metrics, by name with labels."""
        with self.inside.connect("127.0.0.1", 9607) as link:
            link.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
        return {
            name: float(value)
            for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
        }

    def table(self):
        """The agent's table as nft lists it, without counters' values."""
        return re.sub(
            r"packets \d+ bytes \d+", "", self.inside.run("nft", "list", "table", "inet", "romana")
        )


class Cluster:
    """The lab, the manifests, the hosts."""

    def __init__(self, lab, directory, responder):
        self.lab, self.directory, self.responder = lab, directory, responder
        self.cidrs = ["10.112.0.0/12"]
        self.manifests = directory / "manifests"
        self.manifests.mkdir()
        self.pods = {}
        self.hosts = {}

    def write(self, name, *objects):
        """Write a file of manifests, in one step."""
        temporary = self.manifests / f".{name}"
        temporary.write_text(json.dumps({"kind": "List", "items": list(objects)}))
        os.replace(temporary, self.manifests / f"{name}.json")

    def remove(self, name):
        """Remove a file of manifests."""
        (self.manifests / f"{name}.json").unlink()

    def policy(self, name, spec, namespace="shop"):
        """Put a policy into force (somewhen soon)."""
        metadata = {"name": name, "namespace": namespace}
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        self.write(f"policy-{name}", {**kind, "metadata": metadata, "spec": spec})

    def host(self, name, address, block):
        """Add a host with its agent."""
        self.write(
            f"node-{name}",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name},
                "status": {"addresses": [{"type": "InternalIP", "address": address}]},
            },
            {
                "apiVersion": "romana.io/v1",
                "kind": "AddressBlock",
                "metadata": {"name": block.replace("/", "-")},
                "spec": {"cidr": block, "node": name},
            },
        )
        self.hosts[name] = Host(self, name, address, block)
        return self.hosts[name]

    def namespaces(self, **labels_by_name):
        """Make namespaces with labels."""
        kind = {"apiVersion": "v1", "kind": "Namespace"}
        self.write(
            "namespaces",
            *(
                {**kind, "metadata": {"name": name, "labels": labels}}
                for name, labels in labels_by_name.items()
            ),
        )

    def manifest(self, pod, labels):
        """Write a pod's manifest, with its address once it has one."""
        namespace, name = pod.key.split("/")
        self.write(
            f"pod-{namespace}-{name}",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"nodeName": pod.host.name},
                "status": {"podIP": pod.address},
            },
        )

    def prepare(self, host, key, **labels):
        """A pod that is known but not attached."""
        pod = AttachedPod(key=key, inside=self.lab.namespace(key.replace("/", "-")), host=host)
        self.manifest(pod, labels)
        return pod

    def attach(self, host, key, **labels):
        """A pod that is attached and serves on PORT."""
        pod = self.prepare(host, key, **labels)
        code, result = host.cni("ADD", pod)
        assert code == 0, result
        pod.address = result["ips"][0]["address"].partition("/")[0]
        pod.interface = result["interfaces"][0]["name"]
        self.responder.tcp(pod.inside, PORT)
        self.manifest(pod, labels)
        self.pods[key] = pod
        return pod

    def detach(self, pod):
        """Detach a pod, and forget it."""
        code, result = pod.host.cni("DEL", pod)
        assert code == 0, result
        self.pods.pop(pod.key, None)
        self.remove("pod-" + pod.key.replace("/", "-"))

    @staticmethod
    def within(limit_s, condition):
        """Wait for a condition, no longer than so many seconds."""
        return eventually(condition, limit_s)

    def settle(self):
        """Wait until every agent has all manifests in force."""
        for host in self.hosts.values():
            eventually(lambda host=host: self._seen(host))

    def _seen(self, host):
        counted = {"Pod": "pod-*", "NetworkPolicy": "policy-*"}
        objects = host.ask("status")["objects"]
        return all(
            objects[kind] == len(list(self.manifests.glob(glob))) for kind, glob in counted.items()
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    with Lab(PREFIX) as lab, Responder() as responder:
        made = Cluster(lab, tmp_path_factory.mktemp("agents"), responder)
        made.namespaces(shop={"team": "shop"}, other={"team": "other"})
        for name, address, block in (
            ("node1", "198.18.0.11", "10.112.0.0/25"),
            ("node2", "198.18.0.12", "10.112.0.128/25"),
        ):
            made.host(name, address, block)
        for host in made.hosts.values():
            host.start()
        yield made
        for host in made.hosts.values():
            if host.process and host.process.poll() is None:
                host.stop()


@pytest.fixture
def hosts(cluster):
    for host in cluster.hosts.values():
        if host.process.poll() is not None:  # a test that failed may have left it so
            host.start()
    return cluster.hosts["node1"], cluster.hosts["node2"]


@pytest.fixture
def pods(cluster, hosts):
    """Clients a1 (node1), a2 (node2), servers b1 (node1), b2 (node2); gone with the test's policies
    at its end."""
    one, two = hosts
    made = {
        name: cluster.attach(host, f"shop/{name}", role=role)
        for name, host, role in (
            ("a1", one, "client"),
            ("a2", two, "client"),
            ("b1", one, "server"),
            ("b2", two, "server"),
        )
    }
    cluster.settle()
    yield made
    for path in cluster.manifests.glob("policy-*.json"):
        path.unlink()
    for pod in list(cluster.pods.values()):
        cluster.detach(pod)
        pod.inside.delete()
    cluster.settle()
