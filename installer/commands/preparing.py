"""Everything before the first change: connect, facts, preflight, artifacts, plan. The same for
check mode and for real."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from installer import artifacts, pki
from installer.artifacts.choice import Choice, choose, chosen, keep
from installer.artifacts.download import Site
from installer.artifacts.elf import glibc_needed
from installer.artifacts.upstream import Name
from installer.bundle import supply
from installer.bundle.unpacking import contents
from installer.cluster import Cluster, Host
from installer.commands.adopting import adopt_lost
from installer.commands.members import membership
from installer.commands.upgrading import Moves
from installer.engine.parallel import over_hosts
from installer.engine.plan import Plan, probe_all, wanted
from installer.errors import HostError, PreflightError, Unreachable
from installer.etcd import Membership
from installer.events import Emit, Notice, ResourceResult, VersionChange
from installer.hosts.connection import connect, ways
from installer.hosts.facts import Facts
from installer.hosts.gather import gather
from installer.hosts.session import Session
from installer.pki import Credentials, Expiry
from installer.roles import ROLES
from installer.roles.brought import python_version
from installer.roles.brought import wanted as brought
from installer.roles.preflight import examine, libraries, newest_release, notes
from installer.roles.role import Role, Target

_ETCD = next(role for role in ROLES if role.name == "etcd")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan, and what it takes to carry it out."""

    plan: Plan
    credentials: Credentials
    kubernetes: str
    kubectl: Path | None
    """The release's own, where this machine can run it."""
    choice: Choice
    """Of Kubernetes, to be recorded once all hosts have it."""
    changes: tuple[VersionChange, ...]
    """Versions that the plan changes."""
    lost: tuple[str, ...]
    """Hosts that could not be reached or asked."""
    kept: tuple[Expiry, ...]
    """When the certificates end that the last run laid down."""


@contextlib.contextmanager
def connected(cluster: Cluster, hosts: Sequence[Host], emit: Emit) -> Iterator[dict[str, Session]]:
    """Sessions to the hosts, by name, opened all at once; those that cannot be reached are told
    and missing."""
    known_hosts = cluster.state / "known_hosts"
    bastions = ways((*cluster.hosts, *cluster.bastions), known_hosts)

    def one(host: Host) -> Session:
        return connect(host, known_hosts, bastions=bastions)

    sessions: dict[str, Session] = {}
    for host, outcome in zip(hosts, over_hosts(one, hosts), strict=True):
        if isinstance(outcome, HostError):
            _tell(outcome, "connect", emit)
        else:
            sessions[host.name] = outcome
    try:
        yield sessions
    finally:
        for session in sessions.values():
            session.close()
        bastions.close()


def prepare(
    cluster: Cluster,
    sessions: Mapping[str, Session],
    limit: Sequence[str],
    emit: Emit,
    roles: Sequence[Role] = ROLES,
    *,
    restoring: bool = False,
) -> Prepared:
    """Facts, preflight, artifacts and plan.

    Args:
        cluster: with hosts that can be reached.
        sessions: to all of its hosts that answered.
        limit: names of the hosts that the plan is for; empty for all.
        emit: is told everything.
        roles: what the plan is made of.
        restoring: versions are a backup's, older ones too.

    Raises:
        PreflightError: hosts are not fit.
        ArtifactError: something to install cannot be had.
        UpgradeRefused: the hosts cannot go to these versions from theirs.
    """
    facts = gather_all(cluster, sessions, emit)
    choice = (
        choose(cluster, Site(url=cluster.download_url), emit, newest_release(facts))
        if cluster.bundle is None
        else supply.choice(cluster, contents(cluster.bundle))
    )
    meant = [host for host in cluster.hosts if not limit or host.name in limit]
    moves = Moves(cluster, meant, facts, sessions)
    earlier = chosen(cluster)
    if earlier is not None and earlier.version != choice.version and not restoring:
        moves.require_legal(choice.version)
    keep(cluster, choice)
    _preflight(cluster, facts, choice.version, emit)
    architecture = _architecture(facts)
    had = (
        artifacts.prepare(
            cluster,
            pythons={python_version(seen) for seen in facts.values()},
            upstream=_brought(cluster, facts),
            architecture=architecture,
            emit=emit,
        )
        if cluster.bundle is None
        else supply.artifacts(cluster.bundle)
    )
    _fit(facts, had)
    adopt_lost(cluster, sessions, emit)
    kept, credentials = pki.kept(cluster), pki.ensure(cluster)
    if credentials.stage:
        text = f"the authorities are being rotated, stage {credentials.stage}; "
        emit(Notice(text=f"{text}romana-install rotate-ca goes on with it"))
    # What comes before etcd, as a restoration has it, leaves members alone.
    members = membership(cluster, sessions) if _ETCD in roles else Membership()
    everything = [
        wanted(
            roles,
            Target(
                host=host,
                facts=facts[host.name],
                cluster=cluster,
                others=facts,
                credentials=credentials,
                artifacts=had,
                membership=members,
            ),
        )
        for host in meant
        if host.name in facts
    ]
    plan = probe_all(roles, everything, sessions)
    for error in plan.unreachable:
        _tell(error, "probe", emit)
    answered = {work.host for work in plan.works}
    return Prepared(
        plan=plan,
        credentials=credentials,
        kubernetes=had.kubernetes,
        kubectl=had.program("kubectl").path
        if ARCHITECTURES.get(platform.machine()) == architecture
        else None,
        choice=choice,
        changes=() if restoring else moves.of(plan, had),
        lost=tuple(host.name for host in meant if host.name not in answered),
        kept=kept,
    )


def gather_all(cluster: Cluster, sessions: Mapping[str, Session], emit: Emit) -> dict[str, Facts]:
    """Facts by host name; hosts that cannot say are told and missing."""
    hosts = [host for host in cluster.hosts if host.name in sessions]

    def one(host: Host) -> Facts:
        return gather(sessions[host.name], host.address, time.time)

    facts: dict[str, Facts] = {}
    for host, outcome in zip(hosts, over_hosts(one, hosts), strict=True):
        if isinstance(outcome, HostError):
            _tell(outcome, "facts", emit)
        else:
            facts[host.name] = outcome
    return facts


def _preflight(cluster: Cluster, facts: Mapping[str, Facts], version: str, emit: Emit) -> None:
    for note in notes(cluster, facts):
        emit(Notice(text=note))
    unfit = supply.misfits(cluster.bundle, facts) if cluster.bundle else ()
    if problems := (*unfit, *examine(cluster, facts, version)):
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise PreflightError(
            f"the hosts have {count}; nothing was changed on them", problems, "mend and run again"
        )


def _brought(cluster: Cluster, facts: Mapping[str, Facts]) -> frozenset[Name]:
    """What any host has to be brought that its distribution lacks."""
    return frozenset(
        name
        for host in cluster.hosts
        if host.name in facts
        for name in brought(facts[host.name], controller=host.is_controller)
    )


def _fit(facts: Mapping[str, Facts], had: artifacts.Artifacts) -> None:
    """Stop where a program would not start with a host's C library."""
    needed = {name: glibc_needed(had.program(name).path) for name in had.programs}
    found = {name: version for name, version in needed.items() if version}
    if problems := libraries(facts, found, had.kubernetes):
        raise PreflightError(
            "Kubernetes does not fit the hosts; nothing was changed on them", problems
        )


def _architecture(facts: Mapping[str, Facts]) -> str:
    names = [seen.architecture for seen in facts.values()]
    return ARCHITECTURES.get(names[0], names[0]) if names else "amd64"


def _tell(error: HostError, stage: str, emit: Emit) -> None:
    advice = f" ({error.advice})" if error.advice else ""
    emit(
        ResourceResult(
            host=error.host,
            role=stage,
            resource="ssh",
            outcome="unreachable" if isinstance(error, Unreachable) else "failed",
            reason=f"{error.message}{advice}" + (f"\n{error.output}" if error.output else ""),
        )
    )
