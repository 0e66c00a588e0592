"""The last look: every host is a Ready node, and its agent has the whole picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote

from installer.hosts.init import of
from installer.resources import Condition, Resource
from installer.resources.manifest import KUBECTL_CACHE
from installer.roles.asking import curl
from installer.roles.kubelet import labels
from installer.roles.network import agent_ready
from installer.roles.pki import ADMIN_KUBECONFIG, CA, KUBELET_CLIENT, server
from installer.roles.programs import BIN
from installer.roles.role import Target
from installer.roles.rotation import followed

ROLE_LABEL = "node-role.kubernetes.io/control-plane"
_SHUNNED = '"key":"node.kubernetes.io/(not-ready|unreachable)"'
"""Taints that the control plane takes off a little after the node is Ready again; until then no pod
is sent there."""


def verify(target: Target) -> Iterator[Resource]:
    """Each host asks for itself, with its own identity: one that is down does not fail the
    others."""
    name = target.host.name
    node = curl(f"{server(target)}/api/v1/nodes/{name}", authority=CA, certificate=KUBELET_CLIENT)
    yield Condition(
        f"node {name} is Ready",
        holds=f"node=$({node} | tr -d ' \\n')\n"
        """echo "$node" | grep -q '"type":"Ready","status":"True"' && """
        f"""! echo "$node" | grep -qE '{_SHUNNED}'""",
        evidence=f"{node} | grep -B1 -A5 '\"reason\"' || :\n{of(target.facts).log('kubelet', 10)}",
        timeout_s=90,
    )
    yield _labels(target, node)
    yield agent_ready(target)
    yield from followed(target)
    if target.host.is_controller:
        yield from _role_label(name)


def _labels(target: Target, node: str) -> Condition:
    """A kubelet gives its node labels when it registers; later ones it has to be given. A node may
    label itself, but for names that are Kubernetes' own."""
    wanted = labels(target.host)
    patch = json.dumps({"metadata": {"labels": wanted}})
    found = " && ".join(
        f'echo "$node" | grep -qF {quote(json.dumps(key) + ":" + json.dumps(value))}'
        for key, value in wanted.items()
    )
    return Condition(
        f"node {target.host.name} bears its labels",
        holds=f"node=$({node} | tr -d ' \\n')\n{found}",
        repair=f"{node} -o /dev/null -X PATCH -H 'Content-Type: application/merge-patch+json' "
        f"-d {quote(patch)}",
    )


def _role_label(name: str) -> Iterator[Resource]:
    """A kubelet may not give its own node a role; the administrator does, for people who read
    `kubectl get nodes`."""
    kubectl = f"{BIN}/kubectl --kubeconfig={ADMIN_KUBECONFIG} --cache-dir={KUBECTL_CACHE} "
    kubectl += "--request-timeout=10s"
    yield Condition(
        f"node {name} shows its role",
        holds=f"{kubectl} get node {name} --show-labels | grep -qF '{ROLE_LABEL}='",
        repair=f"{kubectl} label node {name} {ROLE_LABEL}= --overwrite",
    )
