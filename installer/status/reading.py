"""What is asked of a host, as POSIX sh text, and what its answer means. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cryptography import x509

from installer.cluster import Host
from installer.roles.snapshots import STORE
from installer.status.values import (
    AgentStatus,
    CertificateStatus,
    HostStatus,
    NodeStatus,
    ServiceStatus,
    SnapshotStatus,
)

_EVERYWHERE = ("containerd", "romana-agent", "kubelet", "kube-proxy")
_CONTROLLER = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_PROPERTIES = "ActiveState,UnitFileState,NRestarts,ActiveEnterTimestampMonotonic"

_SCRIPT = r"""
. /etc/os-release 2>/dev/null; echo "os ${PRETTY_NAME:-unknown}"
echo "kernel $(uname -r)"
echo "uptime $(cut -d' ' -f1 /proc/uptime)"
echo "booted $(sed 's/.*) //' /proc/1/stat | cut -d' ' -f20) $(getconf CLK_TCK)"
for name in SERVICES; do
  if [ -d /run/systemd/system ]; then
    echo "service $name $(systemctl show -p PROPERTIES "$name" | tr '\n' ' ')"
  else
    echo "service $name upstart=$(initctl status "$name" 2>/dev/null | tr ' ' ,)"
  fi
done
for file in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /etc/romana/*.crt \
    /var/lib/kubelet/pki/*.crt /var/lib/kubelet/pki/*-current.pem; do
  [ -f "$file" ] || continue
  echo "certificate $file $(sed -n '/BEGIN CERT/,/END CERT/p' "$file" | sed '/END CERT/q' |
    sed '/CERT/d' | tr -d '\n')"
done
for file in /etc/kubernetes/*.conf /etc/romana/*.conf; do
  [ -f "$file" ] || continue
  echo "embedded $file $(sed -n 's/^ *client-certificate-data: *//p' "$file" | head -n 1)"
done
first() { "$@" 2>/dev/null | head -n 1; }
echo "version etcd $(first etcd --version)"
echo "version containerd $(first containerd --version)"
echo "version runc $(first runc --version)"
age() { echo $(($(date +%s) - $(stat -c %Y "$1"))); }
last=$(ls -1 STORE/romana-backup-*.tar.gz 2>/dev/null | sort | tail -n 1)
[ -z "$last" ] || echo "snapshot $(age "$last") $(stat -c %s "$last") $last"
[ ! -f STORE/failed ] || echo "snapshot-failed $(cat STORE/failed)"
echo "agent $(romana status --json 2>&1 | tr '\n' ' ')"
"""


def services(host: Host, *, balanced: bool = False) -> tuple[str, ...]:
    """The services that should run on a host, in the order of its layers.

    Args:
        host: which.
        balanced: whether the cluster's hosts have balancers.
    """
    before = ("haproxy",) if balanced else ()
    own = _CONTROLLER if host.is_controller else ()
    return (*before, *own, *_EVERYWHERE)


def script(host: Host, *, balanced: bool = False) -> str:
    """What is run on the host; it changes nothing."""
    words = {
        "SERVICES": " ".join(services(host, balanced=balanced)),
        "PROPERTIES": _PROPERTIES,
        "STORE": STORE,
    }
    text = _SCRIPT
    for word, meant in words.items():
        text = text.replace(word, meant)
    return text


def host_status(host: Host, output: str) -> HostStatus:
    """A host's state from what the script printed."""
    lines: dict[str, list[str]] = defaultdict(list)
    for line in output.splitlines():
        key, _, value = line.partition(" ")
        lines[key].append(value.strip())
    uptime = float(_only(lines, "uptime") or 0)
    # A host in a container shares its machine's clock; its own life began with process 1.
    began, ticks = (_only(lines, "booted") or "0 100").split()
    found = (*_certificates(lines["certificate"]), *_embedded(lines["embedded"]))
    return HostStatus(
        name=host.name,
        address=str(host.address),
        groups=host.groups,
        os=_only(lines, "os"),
        kernel=_only(lines, "kernel"),
        uptime_s=uptime - int(began) / int(ticks),
        services=tuple(_service(value, uptime) for value in lines["service"]),
        certificates=tuple(sorted(found, key=lambda c: c.ends)),
        versions=tuple(_version(value) for value in lines["version"] if " " in value),
        agent=_agent(_only(lines, "agent")),
        snapshot=_snapshot(_only(lines, "snapshot"), _only(lines, "snapshot-failed")),
    )


def lost(host: Host, problem: str) -> HostStatus:
    """The state of a host that cannot be asked."""
    return HostStatus(
        name=host.name, address=str(host.address), groups=host.groups, problem=problem
    )


def nodes(listed: Mapping[str, Any], pods: Mapping[str, Any]) -> tuple[NodeStatus, ...]:
    """Nodes from a NodeList; a PodList says how many pods each has."""
    homes = [pod["spec"].get("nodeName") for pod in pods["items"]]
    found = (_node(node, homes) for node in listed["items"])
    return tuple(sorted(found, key=lambda node: node.name))


def _node(node: Mapping[str, Any], homes: Sequence[str]) -> NodeStatus:
    name = str(node["metadata"]["name"])
    conditions = node["status"].get("conditions") or ()
    ready: Mapping[str, Any] = next((c for c in conditions if c["type"] == "Ready"), {})
    info = node["status"]["nodeInfo"]
    taints = node["spec"].get("taints") or ()
    return NodeStatus(
        name=name,
        ready=ready.get("status") == "True",
        reason=str(ready.get("message") or ready.get("reason") or "no condition"),
        schedulable=not node["spec"].get("unschedulable")
        and not any(taint["effect"] in ("NoSchedule", "NoExecute") for taint in taints),
        kubelet=info["kubeletVersion"],
        runtime=info["containerRuntimeVersion"],
        pods=homes.count(name),
    )


def _only(lines: Mapping[str, list[str]], key: str) -> str:
    return lines[key][0] if lines.get(key) else ""


def _service(value: str, uptime: float) -> ServiceStatus:
    name, *words = value.split()
    found = dict(word.partition("=")[::2] for word in words)
    if "upstart" in found:
        running = "start/running" in found["upstart"]
        state = "active" if running else "inactive"
        return ServiceStatus(name=name, state=state, enabled=bool(found["upstart"]))
    entered = int(found.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    return ServiceStatus(
        name=name,
        state=found.get("ActiveState") or "unknown",
        enabled=found.get("UnitFileState") in ("enabled", "static", "alias"),
        restarts=int(found.get("NRestarts") or 0),
        age_s=max(0.0, uptime - entered) if entered else None,
    )


def _certificates(values: Sequence[str]) -> tuple[CertificateStatus, ...]:
    found = (_certificate(*value.partition(" ")[::2]) for value in values)
    return tuple(item for item in found if item is not None)


def _certificate(path: str, text: str) -> CertificateStatus | None:
    """A certificate from the base64 between its PEM lines; None where a file holds none."""
    try:
        loaded = x509.load_der_x509_certificate(base64.b64decode(text))
    except (ValueError, binascii.Error):
        return None
    subject = loaded.subject.rfc4514_string()
    return CertificateStatus(path=path, subject=subject, ends=loaded.not_valid_after_utc)


def _embedded(values: Sequence[str]) -> tuple[CertificateStatus, ...]:
    """Client certificates inside kubeconfig files: base64 of PEM."""
    found = []
    for value in values:
        path, _, text = value.partition(" ")
        pem = base64.b64decode(text).decode(errors="replace")
        body = "".join(line for line in pem.splitlines() if "-----" not in line)
        found.append(_certificate(path, body))
    return tuple(item for item in found if item is not None)


def _snapshot(last: str, failure: str) -> SnapshotStatus | None:
    """The last snapshot of etcd; None where a host neither has nor wants one."""
    if not last:
        return SnapshotStatus(failure=failure) if failure else None
    age, size, path = last.split(maxsplit=2)
    # The host's own clock is compared with itself; it may have been set back since.
    return SnapshotStatus(path=path, age_s=max(0.0, float(age)), size=int(size), failure=failure)


def _grouped(problems: Sequence[str]) -> Iterator[str]:
    """What befell several watches for the same reason, once."""
    whose: dict[str, list[str]] = {}
    for problem in problems:
        kind, colon, reason = problem.removeprefix("watch of ").partition(": ")
        if colon and problem.startswith("watch of "):
            whose.setdefault(reason, []).append(kind)
        else:
            yield problem
    for reason, kinds in whose.items():
        yield f"watch of {', '.join(sorted(kinds))}: {reason}"


def _version(value: str) -> tuple[str, str]:
    """The word that looks like a version in a program's own words."""
    name, *words = value.split()
    numbers = (w for w in words if w.lstrip("v")[:1].isdigit() and "." in w)
    return name, next(numbers, " ".join(words))


def _agent(text: str) -> AgentStatus | None:
    """What the agent says of itself; None where it does not answer."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        error = text.removeprefix("Error: ")
        return AgentStatus(problem=error) if error != text else None
    problem = str(said.get("failure") or "")
    if not problem and not said.get("enforced"):
        problem = "policies are not in force yet"
    if not problem and said.get("problems"):
        problem = "; ".join(_grouped(said["problems"]))
    return AgentStatus(
        version=str(said.get("version", "")),
        enforced=bool(said.get("enforced")),
        endpoints=int(said.get("endpoints", 0)),
        programs=int(said.get("programs", 0)),
        blocks=tuple(said.get("blocks", ())),
        problem=problem,
    )
