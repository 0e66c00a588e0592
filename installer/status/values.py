"""The state of a cluster as frozen values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from installer.pki import WARN_BELOW

EXPIRY_WARNING_DAYS = WARN_BELOW.days
_LATE = 2
"""Spans after which a snapshot is overdue: one may have been missed by a reboot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service of a host. `state` is the init system's word; `age_s`, how long it has been in
    it, None where unknown."""

    name: str
    state: str
    enabled: bool
    restarts: int = 0
    age_s: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether it runs and will after a reboot."""
        return self.state == "active" and self.enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatus:
    """A certificate as it lies on a host."""

    path: str
    subject: str
    ends: datetime

    def days(self, now: datetime) -> int:
        """Whole days until it ends; negative once it has."""
        return (self.ends - now).days


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """What `romana status` says on a host; `problem` is empty where all is well. Policies may be
    `enforced` in spite of one."""

    version: str = ""
    enforced: bool = False
    endpoints: int = 0
    programs: int = 0
    blocks: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStatus:
    """The last snapshot of etcd that a controller has kept by itself; `age_s` is None where there
    is none. `failure` says why the latest attempt came to nothing."""

    path: str = ""
    age_s: float | None = None
    size: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """One host. Where `problem` says that it cannot be reached, all else is empty."""

    name: str
    address: str
    groups: tuple[str, ...]
    problem: str = ""
    os: str = ""
    kernel: str = ""
    uptime_s: float = 0
    services: tuple[ServiceStatus, ...] = ()
    certificates: tuple[CertificateStatus, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    agent: AgentStatus | None = None
    snapshot: SnapshotStatus | None = None

    @property
    def reachable(self) -> bool:
        """Whether it answered."""
        return not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node as the API server has it. `reason` says why it is not ready."""

    name: str
    ready: bool
    reason: str
    schedulable: bool
    kubelet: str
    runtime: str
    pods: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """A cluster at the moment `at`. `api_problem` says why the API server has not answered;
    controllers are to keep a snapshot of etcd every `snapshots_s` seconds, or none where that is
    0."""

    name: str
    at: datetime
    api: str
    kubernetes: str
    api_problem: str
    hosts: tuple[HostStatus, ...]
    nodes: tuple[NodeStatus, ...]
    snapshots_s: int = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is not as it should be, a line each."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        if self.api_problem:
            yield self.api_problem
        for host in self.hosts:
            yield from _of_host(host, self.at)
            if host.reachable and "controller" in host.groups and self.snapshots_s:
                yield from _of_snapshot(host, self.snapshots_s)
        for node in self.nodes:
            if not node.ready:
                yield f"node {node.name}: not ready: {node.reason}"
        missing = {host.name for host in self.hosts} - {node.name for node in self.nodes}
        if not self.api_problem:
            yield from (f"{name}: has not joined the cluster" for name in sorted(missing))


def _of_snapshot(host: HostStatus, every_s: int) -> Iterator[str]:
    last = host.snapshot or SnapshotStatus()
    if last.failure:
        yield f"{host.name}: no snapshot of etcd could be taken: {last.failure}"
    elif last.age_s is None:
        yield f"{host.name}: has no snapshot of etcd"
    elif last.age_s > _LATE * every_s:
        hours = f"{last.age_s / 3600:.0f} hours"
        yield (
            f"{host.name}: the last snapshot of etcd is {hours} old, one is to be taken every "
            f"{every_s / 3600:g}"
        )


def _of_host(host: HostStatus, now: datetime) -> Iterator[str]:
    if not host.reachable:
        yield f"{host.name}: {host.problem}"
        return
    for service in host.services:
        if not service.healthy:
            what = "does not start at boot" if service.state == "active" else f"is {service.state}"
            yield f"{host.name}: service {service.name} {what}"
    for certificate in host.certificates:
        days = certificate.days(now)
        if days < EXPIRY_WARNING_DAYS:
            when = "has ended" if days < 0 else f"ends in {days} days"
            yield f"{host.name}: certificate {certificate.path} {when}"
    agent = host.agent.problem if host.agent else "does not answer"
    if agent:
        yield f"{host.name}: romana-agent: {agent}"
