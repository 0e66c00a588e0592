"""What the bench puts into a cluster, as plain data, and on which nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from romana.bench.errors import BenchError
from romana.bench.workload import CLIENT, LABELS, SERVER, Allowed, policy

LABEL = "romana.io/bench"
"""On the namespace; nothing else that the bench makes is outside of it."""
ROOT = "/host"
"""Where pods see the file system of their node."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FOREVER = "trap 'exit 0' TERM INT\nwhile :; do sleep 2147483647 & wait; done\n"
_OUT_OF_SERVICE = ("NoSchedule", "NoExecute")


def namespace(name: str) -> dict[str, Any]:
    """The bench's namespace. Its pods see the file system of their node, which the default of a
    cluster's pod security may forbid."""
    labels = {LABEL: "policies", "pod-security.kubernetes.io/enforce": "privileged"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


def pod(role: str, node: str, image: str) -> dict[str, Any]:
    """The pod of the client or of the server, bound to its node without the scheduler.

    Args:
        role: of those in `LABELS`.
        node: its node's name.
        image: any with `sh` and `chroot`.
    """
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _FOREVER],
        "env": [{"name": "PATH", "value": PATH}],
        "volumeMounts": [{"name": "node", "mountPath": ROOT, "readOnly": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": role, "labels": LABELS[role]},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
        },
    }


def pods(nodes: Sequence[str], image: str) -> tuple[dict[str, Any], ...]:
    """Both pods, on the client's node and the server's."""
    return tuple(pod(role, node, image) for role, node in zip((CLIENT, SERVER), nodes, strict=True))


def network_policy(what: Allowed, namespace: str) -> dict[str, Any]:
    """The policy that admits something; named after it, whatever its turn."""
    return policy(policy_name(what), what, namespace)


def policy_name(what: Allowed) -> str:
    """The name of that policy."""
    return f"{what.protocol.lower()}-{what.port}"


def chosen_nodes(found: Iterable[dict[str, Any]], wanted: Sequence[str]) -> tuple[str, str]:
    """The client's node and the server's.

    Args:
        found: all nodes, as the API lists them.
        wanted: two names; none for the first two, by name, that pods would be put on.

    Raises:
        BenchError: there are no such two nodes that are ready.
    """
    ready = {each["metadata"]["name"]: each for each in found if _ready(each)}
    for name in wanted:
        if name not in ready:
            those = ", ".join(sorted(ready)) or "none"
            raise BenchError(f"--nodes {name}: there is no such node that is ready, only: {those}")
    usable = wanted or sorted(sorted(ready), key=lambda name: not _open(ready[name]))
    if len(usable) < 2:
        raise BenchError(f"the cluster has {len(ready)} nodes that are ready: two are needed")
    return usable[0], usable[1]


def _ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _open(node: dict[str, Any]) -> bool:
    spec = node.get("spec", {})
    taints = spec.get("taints") or ()
    return not spec.get("unschedulable") and not any(
        each["effect"] in _OUT_OF_SERVICE for each in taints
    )


def trouble(pod: dict[str, Any]) -> str:
    """Why a pod does not run, in the cluster's words."""
    status = pod.get("status", {})
    for each in status.get("containerStatuses") or ():
        waiting = each.get("state", {}).get("waiting") or {}
        if waiting.get("reason"):
            return ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
    return str(status.get("message") or status.get("reason") or status.get("phase") or "unknown")
