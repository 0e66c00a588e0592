"""The Kubernetes objects of the test, as plain data. Pure."""

from __future__ import annotations

from typing import Any

from installer.images import BUSYBOX
from installer.smoke.flows import OTHER_PORT, PORT, SERVICE_PORT, STREAM_PORT, Policy
from installer.smoke.placement import Player

LABEL = "romana.io/smoke-test"
"""On everything the test makes; its value is the run's suffix."""
OWNER = "romana.io/smoke-owner"
"""Annotation of the namespaces: which process of which machine runs the test."""

# Every answer tells the client's address and the server's name. Requests for /cgi-bin/ready are
# counted: they are the kubelet's.
_SERVER = f"""\
mkdir -p /srv/cgi-bin /tmp/smoke && cd /srv
cat >cgi-bin/peer <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\npeer=%s server=%s\\n' "$REMOTE_ADDR" "$(hostname)"
END
cat >cgi-bin/ready <<'END'
#!/bin/sh
echo "$REMOTE_ADDR" >>/tmp/smoke/probes
printf 'Content-Type: text/plain\\r\\n\\r\\nready\\n'
END
cat >echo <<'END'
#!/bin/sh
while read -r number; do echo "$number" >>/tmp/smoke/received; echo "$number"; done
END
chmod 755 cgi-bin/peer cgi-bin/ready echo
: >/tmp/smoke/probes
httpd -p {PORT} -h /srv && httpd -p {OTHER_PORT} -h /srv
nc -ll -p {STREAM_PORT} -e /srv/echo &
"""
# Patient, for busy machines: that probes are denied shows in how many arrive.
_PROBE = {
    "httpGet": {"path": "/cgi-bin/ready", "port": PORT},
    "periodSeconds": 1,
    "timeoutSeconds": 2,
    "failureThreshold": 3,
}
_FOREVER = "trap 'exit 0' TERM INT\nwhile :; do sleep 2147483647 & wait; done\n"


def namespace(name: str, suffix: str, owner: str) -> dict[str, Any]:
    """One of the test's namespaces. The node's pod needs the host's network, whatever the
    cluster's default for pod security is."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {LABEL: suffix, "pod-security.kubernetes.io/enforce": "privileged"},
            "annotations": {OWNER: owner},
        },
    }


def pod(player: Player, suffix: str) -> dict[str, Any]:
    """A pod of the test, bound to its host without the scheduler."""
    container: dict[str, Any] = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", (_SERVER if player.serves else "") + _FOREVER],
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "64Mi"}},
    }
    if player.actor == "backend":
        container |= {
            "readinessProbe": _PROBE,
            "livenessProbe": _PROBE,
        }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": player.name, "labels": labels(player, suffix)},
        "spec": {
            "nodeName": player.site.node,
            "hostNetwork": not player.serves,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
        },
    }


def labels(player: Player, suffix: str) -> dict[str, str]:
    """A pod's labels: its role, which policies select, and its name, which its Service selects."""
    return {"role": player.role, "name": player.name, LABEL: suffix}


def service(player: Player, suffix: str) -> dict[str, Any]:
    """The Service before one pod."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": player.name, "labels": {LABEL: suffix}},
        "spec": {
            "selector": {"name": player.name},
            "ports": [{"port": SERVICE_PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def policy(wanted: Policy, suffix: str) -> dict[str, Any]:
    """A NetworkPolicy of the test's first namespace."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": wanted.name, "labels": {LABEL: suffix}},
        "spec": dict(wanted.spec),
    }
