"""Objects as the API serves them, with all that an agent passes over. Pure.

A pod is some 4 KB, as in clusters in use: managed fields, volumes, tolerations, conditions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from romana.objects import (
    AddressBlock,
    IPBlock,
    Namespace,
    NetworkPolicy,
    Node,
    Object,
    Peer,
    Pod,
    PolicyRule,
    PortMatch,
)
from romana.policy.model import selector_json
from romana.sources.kinds import BLOCK, NAMESPACE, NODE, POLICY, Kind

TIME = "2026-01-01T00:00:00Z"
Document = dict[str, Any]
_MARKS = ("@NAME@", "@SPACE@", "@NODE@", "@ADDRESS@", "@VERSION@", '"@LABELS@"')


def document(kind: Kind, obj: Object, version: int) -> bytes:
    """An object as JSON.

    Args:
        kind: of the object.
        obj: the object.
        version: its resourceVersion.
    """
    if isinstance(obj, Pod):
        return _pod(obj, version)
    metadata = {
        "name": obj.name,
        "resourceVersion": str(version),
        "creationTimestamp": TIME,
        "uid": _uid(obj.name),
    }
    if kind.namespaced:
        metadata["namespace"] = obj.key[0]
    body = _BODIES[kind.name](obj)
    labels = body.pop("labels", None)
    return msgspec.json.encode(
        {
            "kind": kind.name,
            "apiVersion": kind.api_version,
            "metadata": {**metadata, **({"labels": labels} if labels else {})},
            **body,
        }
    )


def listing(kind: Kind, items: list[bytes], version: int, more: str) -> bytes:
    """A page of a list.

    Args:
        kind: of its objects.
        items: the objects, as JSON.
        version: of the list.
        more: the token of the next page; empty at the end.
    """
    metadata = msgspec.json.encode({"resourceVersion": str(version), "continue": more})
    head = f'{{"kind":"{kind.name}List","apiVersion":"{kind.api_version}","metadata":'.encode()
    return head + metadata + b',"items":[' + b",".join(items) + b"]}"


def event(kind: str, obj: bytes) -> bytes:
    """A line of a watch; `kind` is ADDED, MODIFIED or DELETED."""
    return f'{{"type":"{kind}","object":'.encode() + obj + b"}\n"


def _pod(pod: Pod, version: int) -> bytes:
    values = (
        pod.name,
        pod.namespace,
        pod.node,
        str(pod.addresses[0]),
        str(version),
        msgspec.json.encode(pod.labels).decode(),
    )
    text = _POD
    for mark, value in zip(_MARKS, values, strict=True):
        text = text.replace(mark, value)
    return text.encode()


def _namespace(obj: Namespace) -> Document:
    return {"labels": obj.labels, "spec": {"finalizers": ["kubernetes"]}}


def _node(obj: Node) -> Document:
    addresses = [{"type": "InternalIP", "address": str(each)} for each in obj.addresses]
    images = [
        {"names": [f"registry.example/{n}@sha256:{n:064}"], "sizeBytes": n} for n in range(50)
    ]
    return {"spec": {}, "status": {"addresses": addresses, "images": images}}


def _block(obj: AddressBlock) -> Document:
    return {"spec": {"cidr": str(obj.cidr), "node": obj.node}}


def _policy(obj: NetworkPolicy) -> Document:
    types = [("Ingress", obj.ingress), ("Egress", obj.egress)]
    spec: Document = {
        "podSelector": selector_json(obj.pods),
        "policyTypes": [name for name, rules in types if rules is not None],
    }
    if obj.ingress is not None:
        spec["ingress"] = [_rule(each, "from") for each in obj.ingress]
    if obj.egress is not None:
        spec["egress"] = [_rule(each, "to") for each in obj.egress]
    return {"spec": spec}


def _rule(rule: PolicyRule, side: str) -> Document:
    made: Document = {}
    if rule.peers is not None:
        made[side] = [_peer(each) for each in rule.peers]
    if rule.ports is not None:
        made["ports"] = [_port(each) for each in rule.ports]
    return made


def _peer(peer: Peer) -> Document:
    if isinstance(peer, IPBlock):
        return {"ipBlock": {"cidr": str(peer.cidr)}}
    made = {"podSelector": selector_json(peer.pods)}
    if peer.namespaces is not None:
        made["namespaceSelector"] = selector_json(peer.namespaces)
    return made


def _port(port: PortMatch) -> Document:
    return {"protocol": port.protocol.value, "port": port.port}


def _uid(name: str) -> str:
    return f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012}"


_BODIES: dict[str, Any] = {
    NAMESPACE.name: _namespace,
    NODE.name: _node,
    BLOCK.name: _block,
    POLICY.name: _policy,
}


def _managed(fields: tuple[str, ...]) -> Document:
    return {
        "manager": "kubelet",
        "operation": "Update",
        "apiVersion": "v1",
        "time": TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:{each}": {".": {}, "f:type": {}, "f:status": {}} for each in fields},
    }


def _template() -> Document:
    conditions = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    token = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/account"}
    sources = [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "root-ca"}}]
    container = {
        "name": "app",
        "image": "registry.example/app:v1.2.3",
        "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"SETTING_{n}", "value": f"value of setting {n}"} for n in range(8)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [token],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 10},
        "imagePullPolicy": "IfNotPresent",
    }
    tolerations = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return {
        "metadata": {
            "name": "@NAME@",
            "generateName": "app-7c5ddbdf54-",
            "namespace": "@SPACE@",
            "uid": "00000000-0000-4000-8000-000000000000",
            "resourceVersion": "@VERSION@",
            "creationTimestamp": TIME,
            "labels": "@LABELS@",
            "annotations": {"example.org/checksum": "0" * 64},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app"}],
            "managedFields": [_managed(conditions), _managed(("phase", "podIP", "startTime"))],
        },
        "spec": {
            "volumes": [{"name": "kube-api-access", "projected": {"sources": sources}}],
            "containers": [container],
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "nodeName": "@NODE@",
            "tolerations": [
                {"key": each, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                for each in tolerations
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": each, "status": "True", "lastTransitionTime": TIME} for each in conditions
            ],
            "hostIP": "198.18.0.11",
            "podIP": "@ADDRESS@",
            "podIPs": [{"ip": "@ADDRESS@"}],
            "startTime": TIME,
            "containerStatuses": [
                {
                    "name": "app",
                    "state": {"running": {"startedAt": TIME}},
                    "ready": True,
                    "restartCount": 0,
                    "image": "registry.example/app:v1.2.3",
                    "imageID": f"registry.example/app@sha256:{0:064}",
                    "containerID": f"containerd://{0:064}",
                }
            ],
            "qosClass": "Burstable",
        },
    }


_POD = msgspec.json.encode(_template()).decode()
