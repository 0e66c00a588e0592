"""What has to change, decided before anything is: for each host and role, its resources and how
they differ. Pure, but for `probe_all`, which asks the hosts, each once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from installer.cluster import Cluster, Host
from installer.engine.parallel import over_hosts
from installer.engine.script import Section, probes, sections
from installer.errors import CommandFailed, HostError, InstallerError
from installer.hosts.session import Session
from installer.resources.base import Change, Resource
from installer.roles.role import Role, Target

PROBE_LIMIT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One resource compared: as wanted (neither), to be changed, or impossible to tell."""

    resource: Resource
    change: Change | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One role on one host."""

    role: str
    title: str
    host: str
    verdicts: tuple[Verdict, ...]

    @property
    def changes(self) -> tuple[tuple[Resource, Change], ...]:
        """The resources that differ."""
        return tuple((item.resource, item.change) for item in self.verdicts if item.change)

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All its resources."""
        return tuple(item.resource for item in self.verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All work, in the order of roles; within a role, in the order of hosts."""

    works: tuple[Work, ...]
    unreachable: tuple[HostError, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether anything has to change."""
        return any(work.changes for work in self.works)

    @property
    def errors(self) -> tuple[tuple[Work, Verdict], ...]:
        """Resources that could not be probed."""
        return tuple((work, item) for work in self.works for item in work.verdicts if item.error)

    def roles(self) -> tuple[tuple[Work, ...], ...]:
        """The work role by role."""
        names = dict.fromkeys(work.role for work in self.works)
        return tuple(tuple(w for w in self.works if w.role == name) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one host should hold, by role, in order; each resource once."""

    host: str
    roles: tuple[tuple[Role, tuple[Resource, ...]], ...]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All of them."""
        return tuple(resource for _, resources in self.roles for resource in resources)


def applies(role: Role, cluster: Cluster, host: Host, *, leads: bool) -> bool:
    """Whether a role is for a host. One host leads: the first controller that can be reached."""
    return {
        "all": True,
        "controller": host.is_controller,
        "first-controller": leads,
        "nodes": host.is_node,
        "balanced": cluster.balanced,
    }[role.on]


def wanted(roles: Sequence[Role], target: Target) -> Wanted:
    """What a host should hold. Two roles may want the same thing of it, but not two different
    things.

    Raises:
        InstallerError: roles contradict each other.
    """
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for role in roles:
        if not applies(role, target.cluster, target.host, leads=target.leads):
            continue
        resources = tuple(role.resources(target))
        fresh = []
        for resource in resources:
            other = seen.setdefault(resource.id, (role.name, resource.digest))
            if other == (role.name, resource.digest) and resource not in fresh:
                fresh.append(resource)
            elif other[1] != resource.digest:
                raise InstallerError(
                    f"{target.host.name}: roles {other[0]} and {role.name} want different things "
                    f"of {resource.id}",
                    "this is a fault of the installer; please report it",
                )
        if resources:
            found.append((role, tuple(fresh)))
    return Wanted(host=target.host.name, roles=tuple(found))


def probe(session: Session, resources: Sequence[Resource]) -> Mapping[int, Section]:
    """Asks a host for the state of resources, in one round trip.

    Raises:
        CommandFailed: the script as a whole did not work.
        Unreachable: the connection is gone.
    """
    if not resources:
        return {}
    marker = f"romana-{secrets.token_hex(8)}"
    output = session.run(probes(resources, marker), timeout_s=PROBE_LIMIT_S)
    found = sections(output.stdout, marker, output.stderr)
    if len(found) < len(resources):
        raise CommandFailed(
            session.host,
            f"{session.host}: probing stopped at {resources[len(found)].id}",
            f"log in and look: romana-install ssh {session.host}",
            output.last_lines(),
        )
    return found


def compare(hosts_wanted: Wanted, seen: Mapping[int, Section]) -> tuple[Work, ...]:
    """One host's work. A resource knows of the changes before it, as it does when they are carried
    out."""
    changing: set[str] = set()
    works = []
    number = 0
    for role, resources in hosts_wanted.roles:
        verdicts = []
        for resource in resources:
            verdict = judge(resource, seen[number], changing)
            number += 1
            if verdict.change is not None:
                changing.add(resource.id)
            verdicts.append(verdict)
        works.append(
            Work(role=role.name, title=role.title, host=hosts_wanted.host, verdicts=tuple(verdicts))
        )
    return tuple(works)


def judge(resource: Resource, section: Section, changing: set[str]) -> Verdict:
    """One resource and what its probe printed."""
    if section.status != 0:
        return Verdict(
            resource=resource,
            error=f"its probe ended with {section.status}: {_tail(section.errors)}",
        )
    return Verdict(resource=resource, change=resource.compare(section.text, changing))


def _tail(text: str) -> str:
    return " ".join(text.split())[-300:]


def probe_all(
    roles: Sequence[Role], everything: Sequence[Wanted], sessions: Mapping[str, Session]
) -> Plan:
    """The plan: every host probed once, all at the same time.

    Args:
        roles: in their order.
        everything: what each host should hold.
        sessions: by host name.
    """

    def one(item: Wanted) -> tuple[Work, ...]:
        return compare(item, probe(sessions[item.host], item.resources))

    outcomes = over_hosts(one, everything)
    works = [work for outcome in outcomes if isinstance(outcome, tuple) for work in outcome]
    order = [role.name for role in roles]
    return Plan(
        works=tuple(sorted(works, key=lambda work: order.index(work.role))),
        unreachable=tuple(item for item in outcomes if isinstance(item, HostError)),
    )
