"""Preflight alone: what keeps hosts from becoming the cluster, or a cluster from being as its
platform was told, all of it at once, each with its remedy. Only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from installer import platforms
from installer.artifacts.choice import choose
from installer.artifacts.download import Site
from installer.cluster import Cluster, Host, Platform
from installer.commands import clusters
from installer.commands.clusters import Wish
from installer.commands.converge import copied_state
from installer.commands.preparing import connected, gather_all
from installer.commands.reporting import Reporting
from installer.errors import Problem
from installer.events import Emit, Event, Finding, Notice, ResourceResult, RunStarted
from installer.hosts.facts import Facts
from installer.inventory import lists_hosts, section_of
from installer.roles.preflight import examine, newest_release, notes

_THERE = ("change", "delete")
"""How a plan begins for what exists and is not as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found: problems, and the hosts that answered."""

    problems: tuple[Problem, ...]
    answered: tuple[str, ...]


def doctor(platform: Platform | None, wish: Wish, reporting: Reporting) -> int:
    """Looks at a cluster that is known here, or at one that an inventory describes.

    Args:
        platform: where its hosts come from; by default that of the known cluster, or the one that
            the inventory is for.
        wish: which cluster.
        reporting: is told the findings.

    Returns:
        The exit code: 0 nothing is wrong, 1 something is.

    Raises:
        InstallerError: it could not look.
    """
    cluster = _cluster(platform, wish)
    names = tuple(host.name for host in cluster.hosts)
    reporting.emit(
        RunStarted(command=reporting.command, cluster=cluster.name, mode="check", hosts=names)
    )
    found = diagnose(cluster, reporting.emit)
    for problem in found.problems:
        reporting.emit(Finding(where=problem.where, what=problem.what, advice=problem.advice))
    count = {0: "no problem", 1: "one problem"}.get(
        len(found.problems), f"{len(found.problems)} problems"
    )
    reporting.emit(
        Notice(
            text=f"{count}; {len(found.answered)} of {len(names)} hosts looked at, nothing changed",
            level="warning" if found.problems else "info",
        )
    )
    return 1 if found.problems else 0


def diagnose(cluster: Cluster, emit: Emit) -> Diagnosis:
    """All problems of a cluster's platform and hosts.

    Raises:
        PlatformError: the platform cannot be asked.
    """
    platform = platforms.of(cluster)
    planned = platform.plan(cluster)
    wrong, missing = amiss(planned)
    command = f"romana-install {cluster.platform}"
    problems = [
        Problem(where=cluster.platform, what=f"would {head}", advice=f"{command} sets it right")
        for head in wrong
    ]
    for head in missing:
        emit(Notice(text=f"{command} would {head}"))
    with copied_state(platform.attach(cluster)) as shadow:
        there = [each for each in shadow.hosts if not planned or each.ssh != _as(cluster, each).ssh]
        unreached = _Unreached(emit)
        with connected(shadow, there, unreached) as sessions:
            facts = gather_all(shadow, sessions, unreached)
        problems += unreached.problems
        problems += _of_hosts(shadow, facts, emit)
    return Diagnosis(problems=tuple(problems), answered=tuple(facts))


def amiss(planned: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a platform has and would change or delete, such as a source and destination check that
    is on; and what it only would make. A line each.

    Args:
        planned: as `Platform.plan` says it.
    """
    heads = tuple(text.partition("\n")[0] for text in planned)
    wrong = tuple(head for head in heads if head.partition(" ")[0] in _THERE)
    return wrong, tuple(head for head in heads if head not in wrong)


class _Unreached:
    """Passes events on, but for hosts that could not be reached or asked: those are findings."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.problems: list[Problem] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, ResourceResult):
            what = " ".join(event.reason.removeprefix(f"{event.host}: ").split())
            self.problems.append(Problem(where=event.host, what=what))
        else:
            self._emit(event)


def _of_hosts(cluster: Cluster, facts: Mapping[str, Facts], emit: Emit) -> tuple[Problem, ...]:
    if not facts:
        return ()
    choice = choose(cluster, Site(url=cluster.download_url), emit, newest_release(facts))
    for note in notes(cluster, facts):
        emit(Notice(text=note))
    return examine(cluster, facts, choice.version)


def _cluster(platform: Platform | None, wish: Wish) -> Cluster:
    """The one that is known by its name or as the only one; else what the inventory describes."""
    if wish.inventory is None and platform is None:
        return clusters.known(wish)
    if platform is None:
        assert wish.inventory is not None
        platform = section_of(wish.inventory)
        platform = platform or ("static" if lists_hosts(wish.inventory) else "sandbox")
    return clusters.wanted(platform, wish)[0].cluster


def _as(cluster: Cluster, like: Host) -> Host:
    return next(host for host in cluster.hosts if host.name == like.name)
