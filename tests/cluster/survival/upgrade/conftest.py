"""A cluster of its own to be upgraded, a second version of Kubernetes, and traffic through it all.

The second version is made here and is no release of anybody's: the source of the first, linked
again to say the next patch number.
"""

import json
import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from documented import Page

from installer.artifacts.catalogue import KUBERNETES_PROGRAMS, cache_directory
from installer.artifacts.checksums import read_sums, sha256_of
from installer.artifacts.debian_build import BUILDABLE, SCRIPT
from installer.images import BUSYBOX
from romana.lab.joining import join
from romana.lab.stream import Stream

NEXT = "v1.20.3"
SPACE = "upgrade"
PORT, ECHO = 8080, 8081
QUICK = ("-c", "2", "--set", "cluster.smoke=false")


def relabelled(cache: Path) -> None:
    """Kubernetes that says it is the next patch release: where the first is built here, the same
    source and the same Go cache, linked again."""
    work = cache_directory().parent / "build" / f"kubernetes-{BUILDABLE}"
    name = f"debian-amd64-{sha256_of(SCRIPT)[:8]}"
    if not (cache_directory() / "kubernetes" / BUILDABLE / name / "SHA256SUMS").exists():
        return  # it is downloaded, and so is the next
    out = work.with_name(f"relabelled-{NEXT}-{name[-8:]}")
    if set(read_sums(out / "SHA256SUMS")) != set(KUBERNETES_PROGRAMS):
        done = subprocess.run(
            ("sh", str(SCRIPT), NEXT, str(work), str(out)), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    place = cache / "kubernetes" / NEXT
    place.mkdir(parents=True)
    (place / name).symlink_to(out)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Iterator[Path]:
    """Everybody's cache, but for what only says that it is another version."""
    real, mine = cache_directory().parent, tmp_path_factory.mktemp("cache")
    (mine / "romana/artifacts").mkdir(parents=True)
    for each in real.iterdir():
        if each.name != "artifacts":
            (mine / "romana" / each.name).symlink_to(each)
    for each in cache_directory().iterdir():
        if each.name != "kubernetes":
            (mine / "romana/artifacts" / each.name).symlink_to(each)
    place = mine / "romana/artifacts/kubernetes"
    place.mkdir()
    for each in (cache_directory() / "kubernetes").iterdir():
        (place / each.name).symlink_to(each)
    relabelled(mine / "romana/artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(mine))
        yield mine


@dataclass
class Upgrading:
    """The cluster, and how a page's commands are typed for it."""

    operator: object
    addresses: dict[tuple[str, str], str]

    def type(self, page: Page, line: str, *options: str):
        """A command as a page has it, for this cluster instead of `prod`."""
        _, verb, *words = shlex.split(line.replace(" -n prod", ""))
        mine = QUICK if verb == "sandbox" else ()
        ended = self.operator.run(verb, *words, *mine, *options, "--json")
        page.ran(line, ended.code)
        return ended

    def inside(self, host: str, app: str) -> Path:
        """The file of a pod's network namespace."""
        address = self.addresses[app, host]
        script = (
            "for n in $(ls /run/netns); do"
            f" ip -n $n -o -4 addr show 2>/dev/null | grep -qF ' {address}/' && echo $n; done || :"
        )
        (name,) = self.operator.on(host, script).split()
        return Path(f"/proc/{self.operator.leader(host)}/root/run/netns/{name}")

    def stream(self, app: str, way: tuple[str, str] = ("node1", "node2")) -> Stream:
        """Probes from a pod of one node to the server on another."""
        return Stream(self.inside(way[0], app), [self.addresses["server", way[1]]], PORT)

    def lasting(self, way: tuple[str, str] = ("node1", "node2")) -> "Lasting":
        """A connection from the friend on one node to the server on another."""
        return Lasting(self.inside(way[0], "friend"), self.addresses["server", way[1]])

    def nodes(self) -> dict[str, dict]:
        """All nodes by name."""
        items = json.loads(self.operator.kubectl("get", "nodes", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def require_in_service(self) -> None:
        """All nodes are Ready and take pods, and bear no trace of a roll-out."""
        for name, node in self.nodes().items():
            conditions = node["status"]["conditions"]
            assert next(c for c in conditions if c["type"] == "Ready")["status"] == "True", name
            assert not node["spec"].get("unschedulable"), name
            keys = [taint["key"] for taint in node["spec"].get("taints", ())]
            assert "romana.io/outdated" not in keys
            assert "romana.io/cordoned-by-installer" not in node["metadata"]["annotations"]


@dataclass
class Lasting:
    """One TCP connection out of a pod over which something is said and echoed all the time."""

    inside: Path
    address: str
    echoed: int = 0
    broken: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Lasting":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        join(self.inside)
        try:
            with socket.create_connection((self.address, ECHO), timeout=60) as link:
                while not self._stop.wait(0.2):
                    said = f"{self.echoed:08}\n".encode()
                    link.sendall(said)
                    heard = b""
                    while len(heard) < len(said) and (more := link.recv(64)):
                        heard += more
                    if heard != said:
                        self.broken = f"{said!r} came back as {heard!r}"
                        return
                    self.echoed += 1
        except OSError as error:
            self.broken = f"after {self.echoed}: {error}"


def _labels(app):
    return {"matchLabels": {"app": app}}


def _pods(app, command):
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
    }
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [container],
        },
    }


def everywhere(app, command):
    """Pods that stay on their nodes while those are drained: a DaemonSet's."""
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": app, "namespace": SPACE},
        "spec": {"selector": _labels(app), "template": _pods(app, command)},
    }


def replicas(app, count):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "namespace": SPACE},
        "spec": {
            "replicas": count,
            "selector": _labels(app),
            "template": _pods(app, "sleep 2147483647"),
        },
    }


def budget(app, least):
    return {
        "apiVersion": "policy/v1beta1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app, "namespace": SPACE},
        "spec": {"minAvailable": least, "selector": _labels(app)},
    }


GUARD = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "guard", "namespace": SPACE},
    "spec": {
        "podSelector": _labels("server"),
        "ingress": [
            {
                "from": [{"podSelector": _labels("friend")}],
                "ports": [{"port": PORT}, {"port": ECHO}],
            }
        ],
    },
}
SERVE = f"httpd -p {PORT} -h /tmp; exec nc -ll -p {ECHO} -e cat"
IDLE = "sleep 2147483647"


def put(operator, *objects):
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    operator.kubectl("apply", "-f", "-", stdin=json.dumps(listed))


def running(operator):
    """Addresses of ready pods, by app and node."""
    items = json.loads(operator.kubectl("get", "pods", "-n", SPACE, "-o", "json"))["items"]
    return {
        (item["metadata"]["labels"]["app"], item["spec"]["nodeName"]): item["status"]["podIP"]
        for item in items
        if any(c["ready"] for c in item["status"].get("containerStatuses", ()))
    }


@pytest.fixture(scope="module")
def upgrading(operator, cache, eventually, tmp_path_factory) -> Iterator[Upgrading]:
    with operator("pytest-up", tmp_path_factory.mktemp("up")) as found:
        made = found.sandbox(*QUICK, "--set", f"cluster.kubernetes={BUILDABLE}")
        assert made.code == 0, made
        put(
            found,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
            GUARD,
            everywhere("server", SERVE),
            everywhere("friend", IDLE),
            everywhere("stranger", IDLE),
            replicas("web", 2),
            budget("web", 1),
        )
        eventually(90, lambda: len(running(found)) >= 7, "pods run")
        yield Upgrading(found, running(found))
