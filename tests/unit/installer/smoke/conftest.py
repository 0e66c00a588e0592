"""A cluster in one process: the parts of the Kubernetes API that the smoke test uses, over real TLS
and real websockets, before a model of a network whose faults can be chosen.

What its shells print was recorded from busybox 1.35's nc, ping and traceroute.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from installer.cluster import Cluster, Network
from installer.pki import kubeconfig
from installer.pki.certificates import Subject, issue, new_authority
from installer.smoke.pace import Pace

QUICK = Pace(
    start_limit_s=2,
    remove_limit_s=1,
    open_limit_s=1,
    phase_limit_s=0.6,
    control_limit_s=0.4,
    quiet_s=0.1,
    period_s=0.05,
    tick_s=0.005,
    poll_s=0.01,
)
SILENT_S = 0.05
"""What a second's timeout takes here."""
SPEED = 20
"""Attempts come as many times faster."""


@dataclass
class Faults:
    """What is wrong with the network; by default nothing."""

    unenforced: frozenset[str] = frozenset()
    """Directions ("Ingress", "Egress") in which policies have no effect."""
    unenforced_across: bool = False
    any_source: bool = False
    """Romana 0.9.3.1: a rule matched the port only, so every source was let in."""
    ports_ignored: bool = False
    service_bypass: bool = False
    stateless_protocols: bool = False
    """Only TCP is judged."""
    refuse: bool = False
    delay_s: float = 0
    no_route: bool = False
    masquerade: bool = False
    keeps_connections: bool = False
    kubelet_denied: bool = False
    server_dies: bool = False
    image_missing: bool = False
    mute: bool = False


@dataclass
class FakeCluster:
    """State of the API, and the model."""

    nodes: tuple[str, ...] = ("node1", "node2")
    faults: Faults = field(default_factory=Faults)
    objects: dict[str, dict] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    history: list[tuple[float, dict[str, dict]]] = field(default_factory=lambda: [(0.0, {})])
    received: dict[str, int] = field(default_factory=dict)
    url: str = ""

    def of(self, kind: str) -> list[dict]:
        return [o for p, o in self.objects.items() if p.split("/")[-2] == kind]

    def pod(self, address: str) -> dict | None:
        pods = (p for p in self.of("pods") if not p["spec"]["hostNetwork"])
        return next((p for p in pods if p["status"]["podIP"] == address), None)

    def node_address(self, node: str) -> str:
        return f"198.18.0.{11 + self.nodes.index(node)}"

    def policies(self) -> list[dict]:
        now = time.monotonic() - self.faults.delay_s
        return list(next(held for at, held in reversed(self.history) if at <= now).values())

    def admits(self, source: dict, target: dict, proto: str, port: int) -> bool:
        """Kubernetes' rules, less the faults."""
        across = source["spec"]["nodeName"] != target["spec"]["nodeName"]
        if across and self.faults.unenforced_across:
            return True
        if proto != "TCP" and self.faults.stateless_protocols:
            return True
        ends = (("Egress", source, target), ("Ingress", target, source))
        return all(self.judged(way, own, peer, proto, port) for way, own, peer in ends)

    def judged(self, way: str, own: dict, peer: dict, proto: str, port: int) -> bool:
        if way in self.faults.unenforced or own["spec"]["hostNetwork"]:
            return True
        if peer["spec"]["hostNetwork"] and peer["spec"]["nodeName"] == own["spec"]["nodeName"]:
            return True
        namespace = own["metadata"]["namespace"]
        held = [
            p
            for p in self.policies()
            if p["metadata"]["namespace"] == namespace
            and way in p["spec"]["policyTypes"]
            and _selects(p["spec"]["podSelector"], own)
        ]
        rules = [rule for p in held for rule in p["spec"].get(way.lower(), ())]
        return not held or any(self.matches(r, way, own, peer, proto, port) for r in rules)

    def matches(self, rule: dict, way: str, own: dict, peer: dict, proto: str, port: int) -> bool:
        peers = rule["from" if way == "Ingress" else "to"]
        same = own["metadata"]["namespace"] == peer["metadata"]["namespace"]
        known = not peer["spec"]["hostNetwork"] and same
        fits = known and any(_selects(p["podSelector"], peer) for p in peers)
        ports = [(p["protocol"], p["port"]) for p in rule["ports"]]
        return (fits or self.faults.any_source) and (
            self.faults.ports_ignored or (proto, port) in ports
        )

    def attempt(self, source: dict, proto: str, address: str, port: int) -> str | None:
        """What a probe prints, or None after silence."""
        if address.startswith("10.96."):
            name = next(
                s["metadata"]["name"]
                for s in self.of("services")
                if s["spec"]["clusterIP"] == address
            )
            target = next(p for p in self.of("pods") if p["metadata"]["name"] == name)
            if self.faults.service_bypass:
                return self.answer(source, target, proto)
            port = 8080
        elif port == 10250:
            return "HTTP/1.0 400 Bad Request \r \r Client sent an HTTP request to an HTTPS server."
        else:
            target = self.pod(address)
        if source is target:
            dead = self.faults.server_dies and self.policies()
            return None if dead else self.answer(source, target, proto)
        across = source["spec"]["nodeName"] != target["spec"]["nodeName"]
        if self.faults.no_route and across:
            return None
        if not self.admits(source, target, proto, port):
            return "nc: can't connect: Connection refused" if self.faults.refuse else None
        return self.answer(source, target, proto)

    def answer(self, source: dict, target: dict, proto: str) -> str:
        address = target["status"]["podIP"]
        if proto == "ICMP":
            return f"PING {address} 1 packets transmitted, 1 packets received, 0% packet loss"
        if proto == "UDP":
            return f"traceroute to {address}, 32 hops max, 46 byte packets 32 {address} 0.012 ms"
        peer = source["status"]["podIP"]
        if self.faults.masquerade:
            peer = self.node_address(source["spec"]["nodeName"])
        name = target["metadata"]["name"]
        return f"HTTP/1.1 200 OK\r Content-Type: text/plain\r \r peer=[::ffff:{peer}] server={name}"

    def set_policies(self) -> None:
        held = {p: o for p, o in self.objects.items() if "/networkpolicies/" in p}
        self.history.append((time.monotonic(), held))


SILENCE = {
    "TCP": "nc: timed out",
    "ICMP": "PING: 1 packets transmitted, 0 packets received, 100% packet loss",
    "UDP": "traceroute to x, 32 hops max, 46 byte packets 32 *",
}


def _selects(selector: dict, pod: dict) -> bool:
    labels = pod["metadata"]["labels"]
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())


class FakeShell:
    """Does what `installer.smoke.scripts` asks of a pod's shell."""

    def __init__(self, cluster: FakeCluster, pod: dict, socket: web.WebSocketResponse) -> None:
        self.cluster, self.pod, self.socket = cluster, pod, socket
        self.stopped: set[str] = set()
        self.sent: dict[str, int] = {}
        self.tasks: list[asyncio.Task] = []

    async def say(self, text: str) -> None:
        if not self.socket.closed and not self.cluster.faults.mute:
            await self.socket.send_bytes(b"\x01" + text.encode() + b"\n")

    async def run(self, script: str) -> None:
        for line in script.splitlines():
            words = line.split()
            if line.startswith("watch ") and line.endswith("&"):
                self.tasks.append(asyncio.create_task(self.watch(words[1:-1])))
            elif line.startswith("count ") and line.endswith("&"):
                self.tasks.append(asyncio.create_task(self.count(words[1:-1])))
            elif line.startswith(": >stop."):
                self.stopped.add(line.rpartition(".")[2])
            elif line.startswith("echo @q"):
                await self.say(f"{words[1]} {self.reply(line)}")
            elif line == "exit":
                status = b'{"status": "Failure", "message": "command terminated"}'
                await self.socket.send_bytes(b"\x03" + status)
                await self.socket.close()

    def reply(self, line: str) -> str:
        name = self.pod["metadata"]["name"]
        if "sent." in line:
            return str(self.sent[line.rpartition(".")[2].rstrip(")")])
        if "received" in line:
            return str(self.cluster.received.get(name, 0))
        if "probes" in line:
            began = self.pod["metadata"]["made"]
            return str(int((time.monotonic() - began) / QUICK.period_s * 2))
        return "ready"

    async def watch(self, words: list[str]) -> None:
        tag, pause, proto, address, *rest = words
        port, number, attempts = int(rest[0]) if rest else 40000, 0, []
        while tag not in self.stopped:
            number += 1
            attempts.append(
                asyncio.create_task(self.attempt(tag, number, proto.upper(), address, port))
            )
            await asyncio.sleep(int(pause) / 1e6 / SPEED)
        await asyncio.gather(*attempts)

    async def attempt(self, tag: str, number: int, proto: str, address: str, port: int) -> None:
        text = self.cluster.attempt(self.pod, proto, address, port)
        if text is None:
            await asyncio.sleep(SILENT_S)
            text = SILENCE[proto]
        await self.say(f"@{tag} {number} {text}")

    async def count(self, words: list[str]) -> None:
        tag, address, port, pause = words
        target, number = self.cluster.pod(address), 0
        while tag not in self.stopped:
            number += 1
            self.sent[tag] = number
            kept = self.cluster.faults.keeps_connections and number > 1
            if kept or self.cluster.admits(self.pod, target, "TCP", int(port)):
                self.cluster.received[target["metadata"]["name"]] = number
                await self.say(f"@{tag} {number}")
            await asyncio.sleep(int(pause) / 1e6 / SPEED)


class Handler:
    """The HTTP side."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path.endswith("/exec"):
            return await self.exec(request, path.removesuffix("/exec"))
        if request.method == "GET":
            return self.get(request, path)
        if request.method == "POST":
            return self.post(path, await request.json())
        if request.method == "PUT":
            self.cluster.objects[path] = _placed(path, await request.json())
            self.cluster.set_policies()
            return web.json_response(self.cluster.objects[path])
        gone = [p for p in self.cluster.objects if p == path or p.startswith(path + "/")]
        for found in gone:
            del self.cluster.objects[found]
        self.cluster.deleted += gone
        self.cluster.set_policies()
        return web.json_response({}) if gone else _refused(404, "NotFound")

    def get(self, request: web.Request, path: str) -> web.Response:
        if path == "/refuse":
            return _refused(403, "Forbidden")
        if path == "/api/v1/nodes":
            return web.json_response({"items": [self.node(name) for name in self.cluster.nodes]})
        kind = path.rpartition("/")[2]
        found = [
            o
            for p, o in self.cluster.objects.items()
            if p.split("/")[-2] == kind and (path in p or path == f"/api/v1/{kind}")
        ]
        selector = request.query.get("labelSelector", "")
        key, _, value = selector.partition("=")
        if key:
            found = [o for o in found if o["metadata"]["labels"].get(key) in (value or None,)]
            if not value:
                every = self.cluster.of(kind)
                found = [o for o in every if key in o["metadata"]["labels"]]
        if self.cluster.faults.kubelet_denied and kind == "pods" and self.cluster.policies():
            found = [_unready(o) for o in found]
        return web.json_response({"items": found})

    def post(self, collection: str, manifest: dict) -> web.Response:
        path = f"{collection}/{manifest['metadata']['name']}"
        made = _placed(path, manifest)
        kind = collection.rpartition("/")[2]
        number = len(self.cluster.objects) + 1
        if kind == "services":
            made["spec"]["clusterIP"] = f"10.96.0.{number}"
        if kind == "pods":
            self.start(made, number)
        self.cluster.objects[path] = made
        if kind == "networkpolicies":
            self.cluster.set_policies()
        return web.json_response(made, status=201)

    def start(self, pod: dict, number: int) -> None:
        node = pod["spec"]["nodeName"]
        own = f"10.112.{self.cluster.nodes.index(node)}.{number}"
        pod["metadata"]["made"] = time.monotonic()
        state = {"running": {}}
        if self.cluster.faults.image_missing:
            state = {"waiting": {"reason": "ErrImageNeverPull"}}
        pod["status"] = {
            "phase": "Running",
            "podIP": self.cluster.node_address(node) if pod["spec"]["hostNetwork"] else own,
            "containerStatuses": [{"restartCount": 0, "state": state}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "t0"}],
        }

    async def exec(self, request: web.Request, path: str) -> web.StreamResponse:
        if path not in self.cluster.objects:
            return _refused(404, "NotFound")
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        shell = FakeShell(self.cluster, self.cluster.objects[path], socket)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await shell.run(message.data[1:].decode())
        for task in shell.tasks:
            task.cancel()
        return socket

    def node(self, name: str) -> dict:
        address = self.cluster.node_address(name)
        return {
            "metadata": {"name": name, "labels": {}},
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": address}],
            },
        }


def _placed(path: str, manifest: dict) -> dict:
    parts = path.split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-2] else ""
    made = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = manifest["metadata"] | {"namespace": namespace, "creationTimestamp": made}
    return manifest | {"metadata": metadata}


def _unready(pod: dict) -> dict:
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": "t1"}]
    return pod | {"status": pod["status"] | {"conditions": conditions}}


def _refused(status: int, reason: str) -> web.Response:
    body = {"kind": "Status", "reason": reason, "message": f"{reason} here", "code": status}
    return web.json_response(body, status=status)


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory):
    """An authority, the server's and the client's certificates."""
    now = datetime.now(timezone.utc)
    authority = new_authority("kubernetes", now)
    loopback = (IPv4Address("127.0.0.1"),)
    serving = issue(
        authority, Subject(common_name="kube-apiserver", addresses=loopback, server=True), now
    )
    client = issue(authority, Subject(common_name="kubernetes-admin", client=True), now)
    files = tmp_path_factory.mktemp("tls")
    (files / "server.pem").write_bytes(serving.certificate + serving.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate.decode())
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(files / "server.pem")
    return authority, client, tls


@pytest.fixture
def fake(identity) -> Iterator[FakeCluster]:
    """A healthy cluster that answers on a loopback port; change `faults` and `nodes` at will."""
    _, _, tls = identity
    cluster = FakeCluster()
    started, ended = threading.Event(), []

    def serve() -> None:
        async def main() -> None:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", Handler(cluster).handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            cluster.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            stop = asyncio.Event()
            ended.append((asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()
            await runner.cleanup()

        asyncio.run(main())

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(5)
    yield cluster
    loop, stop = ended[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


@pytest.fixture
def wanted(fake: FakeCluster, identity, tmp_path: Path) -> Cluster:
    """The cluster as the installer sees it, with a kubeconfig in its state directory."""
    authority, client, _ = identity
    cluster = Cluster(
        name="test",
        platform="static",
        kubernetes="v1.20.2",
        network=Network(
            pods=IPv4Network("10.112.0.0/12"),
            services=IPv4Network("10.96.0.0/16"),
            hosts=IPv4Network("198.18.0.0/24"),
        ),
        hosts=(),
        state=tmp_path,
    )
    text = kubeconfig(
        cluster="test",
        server=fake.url,
        authority=authority.certificate,
        user="admin",
        identity=client,
    )
    cluster.kubeconfig.write_text(text)
    return cluster


@pytest.fixture
def quick() -> Pace:
    """Limits that suit the fake."""
    return QUICK
