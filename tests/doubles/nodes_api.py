"""The part of the Kubernetes API that draining and upgrades use: nodes with merge patches and
resource versions, pods, evictions and disruption budgets."""

import asyncio
import copy
from dataclasses import dataclass, field

from installer.kubernetes import ApiError

BUDGET = "The disruption budget {0} needs {1} healthy pods and has {1} currently"


@dataclass
class NodesApi:
    """What the installer's `Api` does, for a cluster in memory. `down` answers are missing."""

    nodes: dict[str, dict] = field(default_factory=dict)
    pods: dict[tuple[str, str], dict] = field(default_factory=dict)
    budgets: dict[str, int] = field(default_factory=dict)
    """By the app whose pods it covers: how many evictions it allows yet."""
    stuck: set[str] = field(default_factory=set)
    """Names of pods that never end."""
    lost: set[str] = field(default_factory=set)
    """Nodes that go down at the next eviction."""
    mute: set[str] = field(default_factory=set)
    """Nodes whose kubelets report no more, though they still count as Ready."""
    heartbeats: int = 0
    minor: str = "20+"
    silent: int = 0
    """How many requests get no answer."""
    conflicts: int = 0
    done: list[str] = field(default_factory=list)
    """Changes, in a few words each."""

    def node(self, name: str, *, ready: bool = True, **spec: object) -> None:
        status = "True" if ready else "False"
        conditions = [{"type": "Ready", "status": status, "reason": "r", "message": "m"}]
        self.nodes[name] = {
            "metadata": {"name": name, "resourceVersion": "1", "annotations": {}},
            "spec": dict(spec),
            "status": {"conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.20.2"}},
        }

    def pod(self, name: str, node: str, *, owner: str = "ReplicaSet", app: str = "") -> None:
        owners = [{"kind": owner, "name": "o", "controller": True}] if owner else []
        self.pods["default", name] = {
            "metadata": {
                "namespace": "default",
                "name": name,
                "uid": f"uid-{name}",
                "ownerReferences": owners,
                "labels": {"app": app},
            },
            "spec": {"nodeName": node},
            "status": {"phase": "Running"},
        }

    def ready(self, name: str, status: str) -> None:
        self.nodes[name]["status"]["conditions"][0]["status"] = status

    async def get(self, path: str, **query: str) -> dict:
        await self._answering()
        if path == "/version":
            return {"major": "1", "minor": self.minor}
        if path == "/api/v1/nodes":
            return {"items": [copy.deepcopy(node) for node in self.nodes.values()]}
        if path == "/api/v1/pods":
            where = query["fieldSelector"].removeprefix("spec.nodeName=")
            listed = [pod for pod in self.pods.values() if pod["spec"]["nodeName"] == where]
            return {"items": copy.deepcopy(listed)}
        if "/leases/" in path:
            self.heartbeats += path.rpartition("/")[2] not in self.mute
            return {"spec": {"renewTime": str(self.heartbeats)}}
        return copy.deepcopy(self.nodes[path.removeprefix("/api/v1/nodes/")])

    async def patch(self, path: str, change: dict) -> dict:
        await self._answering()
        name = path.removeprefix("/api/v1/nodes/")
        node = self.nodes[name]
        version = change["metadata"].pop("resourceVersion")
        if self.conflicts or version != node["metadata"]["resourceVersion"]:
            self.conflicts -= 1
            raise ApiError("the object has been modified", 409, "Conflict")
        _merge(node, change)
        node["metadata"]["resourceVersion"] = str(int(version) + 1)
        spec = node["spec"]
        taints = ",".join(taint["key"] for taint in spec.get("taints") or ())
        cordoned = " cordoned" if spec.get("unschedulable") else ""
        self.done.append(f"{name}:{cordoned} {taints}".rstrip())
        return copy.deepcopy(node)

    async def create(self, path: str, manifest: dict) -> dict:
        await self._answering()
        *_, namespace, _, name, what = path.split("/")
        assert (what, manifest["kind"], manifest["metadata"]["name"]) == (
            "eviction",
            "Eviction",
            name,
        )
        pod = self.pods.get((namespace, name))
        if pod is None:
            raise ApiError("not found", 404, "NotFound")
        for node in self.lost:
            self.ready(node, "Unknown")
        app = pod["metadata"]["labels"]["app"]
        if app in self.budgets:
            if self.budgets[app] <= 0:
                raise ApiError(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    429,
                    "TooManyRequests",
                    causes=(BUDGET.format(app, 1),),
                )
            self.budgets[app] -= 1
        if name not in self.stuck:
            self.done.append(f"evicted {name} by {manifest['apiVersion']}")
            del self.pods[namespace, name]
        return {}

    async def _answering(self) -> None:
        await asyncio.sleep(0)
        if self.silent:
            self.silent -= 1
            raise ApiError("the API server does not answer")


def _merge(into: dict, change: dict) -> None:
    """RFC 7386."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
