"""Kubernetes objects, applied with kubectl on a host of the control plane."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import yaml

from installer.resources.base import Change, Payload
from installer.resources.shell import digest_of, quote, short

KUBECTL_CACHE = "/run/romana/kubectl"
"""Not in the home of whoever we log in as."""
_PROBE_LIMIT_S = 5
"""An API server that has no etcd takes questions and does not answer them."""
_REPAIR_LIMIT_S = 30
_ANNOTATION = "romana.io/digest"
_COLUMNS = (
    "KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name,"
    "DIGEST:.metadata.annotations.romana\\.io/digest"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Objects of the cluster. Each bears the digest of its wanted form as an annotation, by which
    it is compared; what the API server adds is left alone.

    Args:
        name: of the group of objects: "coredns".
        content: YAML with one or more documents.
        kubectl: path of the program on the host.
        kubeconfig: whose identity applies them.
    """

    name: str
    content: str = field(repr=False)
    _: KW_ONLY
    kubectl: str = "/usr/local/bin/kubectl"
    kubeconfig: str = "/etc/kubernetes/admin.conf"

    @property
    def id(self) -> str:
        """`manifest:NAME`."""
        return f"manifest:{self.name}"

    @property
    def digest(self) -> str:
        """Covers all objects."""
        return digest_of(self.id, self.content)

    def probe(self) -> str:
        """Prints "kind namespace name digest" of those that exist, or unavailable without an API
        server."""
        wanted = json.dumps(_list([_identity(item) for item in self._objects()]))
        return (
            f"{self._kubectl(_PROBE_LIMIT_S)} get --ignore-not-found --no-headers -o "
            f"custom-columns={quote(_COLUMNS)} -f - 2>/dev/null <<'ROMANA' || echo unavailable\n"
            f"{wanted}\nROMANA\n"
        )

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Only objects that differ are applied."""
        there = {
            (row[0], row[1].replace("<none>", ""), row[2]): row[3]
            for row in (line.split() for line in seen.splitlines())
            if len(row) == 4
        }
        differing = [item for item in self._objects() if there.get(_key(item)) != _digest(item)]
        if not differing:
            return None
        lines = [line for item in differing for line in _lines(item, there.get(_key(item), ""))]
        objects = json.dumps(_list([_annotated(item) for item in differing]))
        return Change(
            before=f"{len(differing)} of {len(self._objects())} objects differ",
            after="applied",
            diff="\n".join(lines),
            repair=f"{self._kubectl(_REPAIR_LIMIT_S)} apply -f objects.json\n",
            files=(Payload(name="objects.json", content=objects.encode()),),
        )

    def _kubectl(self, limit_s: int) -> str:
        kubeconfig = quote(self.kubeconfig)
        return (
            f"{quote(self.kubectl)} --kubeconfig={kubeconfig} --cache-dir={KUBECTL_CACHE} "
            f"--request-timeout={limit_s}s"
        )

    def _objects(self) -> list[dict[str, Any]]:
        return [item for item in yaml.safe_load_all(self.content) if item]


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _key(item: dict[str, Any]) -> tuple[str, str, str]:
    metadata = item["metadata"]
    return item["kind"], metadata.get("namespace", ""), metadata["name"]


def _identity(item: dict[str, Any]) -> dict[str, Any]:
    kind, namespace, name = _key(item)
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": item["apiVersion"], "kind": kind, "metadata": metadata}


def _digest(item: dict[str, Any]) -> str:
    return digest_of(json.dumps(item, sort_keys=True))


def _annotated(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item["metadata"]
    annotations = metadata.get("annotations", {}) | {_ANNOTATION: _digest(item)}
    return {**item, "metadata": {**metadata, "annotations": annotations}}


def _lines(item: dict[str, Any], there: str) -> list[str]:
    kind, namespace, name = _key(item)
    title = f"{kind} {f'{namespace}/' if namespace else ''}{name}"
    old = [f"-{title} {short(there)}"] if there else []
    return [*old, f"+{title} {short(_digest(item))}"]
