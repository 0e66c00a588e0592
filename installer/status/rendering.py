"""A cluster's state for people, as tables, and for programs, as plain data. Pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from installer.status.values import EXPIRY_WARNING_DAYS, ClusterStatus, HostStatus, NodeStatus

_GOOD, _BAD, _WARN = "green", "bold red", "yellow"


def as_json(status: ClusterStatus) -> dict[str, Any]:
    """The state as plain data for `--json`: times in ISO 8601, durations in seconds."""
    data: dict[str, Any] = _plain(asdict(status))
    return {**data, "healthy": not status.problems, "problems": list(status.problems)}


def render(status: ClusterStatus) -> RenderableType:
    """The state as tables: hosts, services, nodes; then what is wrong."""
    api = Text(f"{status.name}  ")
    api.append(
        status.kubernetes or "API server does not answer", style="" if status.kubernetes else _BAD
    )
    api.append(f"  {status.api}", style="dim")
    problems = [Text(f"! {line}", style=_BAD) for line in status.problems]
    healthy = Text("all is well", style=_GOOD)
    return Group(
        api, Text(), _hosts(status), Text(), _services(status), Text(), *(problems or [healthy])
    )


def _hosts(status: ClusterStatus) -> Table:
    nodes = {node.name: node for node in status.nodes}
    table = _table("HOST", "ADDRESS", "OS", "UP", "NODE", "PODS", "AGENT", "CERTS", "SNAPSHOT")
    for host in status.hosts:
        node = nodes.get(host.name)
        table.add_row(
            host.name,
            host.address,
            _short(host.os) if host.reachable else Text("unreachable", style=_BAD),
            duration(host.uptime_s) if host.reachable else "",
            _ready(node),
            str(node.pods) if node else "",
            _agent(host),
            _expiry(host, status.at),
            _snapshot(host),
        )
    return table


def _services(status: ClusterStatus) -> Table:
    table = _table("HOST", "SERVICE", "STATE", "SINCE", "VERSION", "RESTARTS")
    for host in status.hosts:
        versions = dict(host.versions)
        node = next((n for n in status.nodes if n.name == host.name), None)
        if host.agent:
            versions["romana-agent"] = host.agent.version
        if node:
            versions |= {"kubelet": node.kubelet, "kube-proxy": node.kubelet}
        for service in host.services:
            kubernetes = status.kubernetes if service.name.startswith("kube-") else ""
            state = Text(service.state, style=_GOOD if service.healthy else _BAD)
            table.add_row(
                host.name,
                service.name,
                state,
                duration(service.age_s) if service.age_s is not None else "",
                versions.get(service.name, kubernetes),
                str(service.restarts) if service.restarts else "",
            )
    return table


def _short(os: str) -> str:
    """Debian GNU/Linux 12 (bookworm) as Debian 12."""
    return os.replace(" GNU/Linux", "").partition(" (")[0]


def duration(seconds: float) -> str:
    """A duration in its two largest units: 3d4h, 5m12s."""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
        left %= size
    return "".join(parts[:2])


def _ready(node: NodeStatus | None) -> Text:
    if node is None:
        return Text("not joined", style=_BAD)
    if not node.ready:
        return Text("not ready", style=_BAD)
    return Text("ready" if node.schedulable else "ready, no pods", style=_GOOD)


def _agent(host: HostStatus) -> Text:
    if host.agent is None:
        return Text("no answer" if host.reachable else "", style=_BAD)
    if host.agent.problem:
        return Text("in force" if host.agent.enforced else "not in force", style=_BAD)
    return Text(f"in force, {host.agent.endpoints} endpoints", style=_GOOD)


def _expiry(host: HostStatus, now: datetime) -> Text:
    if not host.certificates:
        return Text("")
    days = host.certificates[0].days(now)
    style = _BAD if days < 0 else _WARN if days < EXPIRY_WARNING_DAYS else ""
    return Text(f"{days} days", style=style)


def _snapshot(host: HostStatus) -> Text:
    last = host.snapshot
    if last is None:
        return Text("")
    age = "none" if last.age_s is None else f"{duration(last.age_s)} old"
    return Text(age, style=_BAD if last.failure or last.age_s is None else "")


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
