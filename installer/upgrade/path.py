"""Whether a cluster may go from the versions it has to those it is to have; if not, why, and the
legal way. Pure.

The rules for Kubernetes are its version skew policy
(https://kubernetes.io/releases/version-skew-policy/); those for etcd and containerd, that each
minor release takes up what the one before has left (https://etcd.io/docs/v3.5/upgrades/ and
https://github.com/containerd/containerd/blob/main/RELEASES.md, "Upgrade Path").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from installer.errors import Problem
from installer.upgrade.versions import PACKAGED, Installed, numbers

_LAST_OF_1 = {"containerd": 7}
"""The last minor release before 2.0."""
_KUBELET_3_OLDER = 25
"""From this minor release on, a kubelet or kube-proxy may be three older than the API server
instead of two."""


def refusals(now: Installed, then: Installed) -> tuple[Problem, ...]:
    """What keeps the cluster from going there; nothing where it may.

    Args:
        now: what hosts have. Hosts that have nothing yet may be missing.
        then: what they will have, those included that stay as they are.
    """
    return (*_moves(now, then), *_skew(then))


def sequence(program: str, before: str, after: str) -> tuple[str, ...]:
    """The legal way up, one minor release after the other: ("v1.21.x", "v1.22.4")."""
    (major, minor, _), wanted = numbers(before), numbers(after)
    prefix = "v" if after.startswith("v") else ""
    steps = []
    while (major, minor) < wanted[:2]:
        major, minor = _next(program, major, minor)
        steps.append(f"{prefix}{major}.{minor}.x")
    return (*steps[:-1], after)


def _next(program: str, major: int, minor: int) -> tuple[int, int]:
    return (major + 1, 0) if major == 1 and minor == _LAST_OF_1.get(program) else (major, minor + 1)


def _moves(now: Installed, then: Installed) -> Iterator[Problem]:
    """Each program on each host: never back, never over a minor release. Hosts in the same case are
    one problem."""
    cases: dict[tuple[str, str, str], list[str]] = {}
    for program in ("kube-apiserver", "kubelet", *PACKAGED):
        after = then.of(program)
        for host, version in now.of(program).items():
            if host in after:
                cases.setdefault((program, version, after[host]), []).append(host)
    for (program, before, after_), hosts in cases.items():
        if numbers(after_) < numbers(before):
            yield Problem(
                where=", ".join(hosts),
                what=f"{program} {before} -> {after_} is a downgrade, and what it has written may "
                "be more than the older one reads",
                advice=f"name {before} or newer in the inventory",
            )
        elif program != "kubelet" and len(sequence(program, before, after_)) > 1:
            way = " -> ".join((before, *sequence(program, before, after_)))
            yield Problem(
                where=", ".join(hosts),
                what=f"{program} {before} -> {after_} skips a minor release",
                advice=f"go one after the other, a run for each: {way}",
            )


def _skew(then: Installed) -> Iterator[Problem]:
    servers = then.of("kube-apiserver")
    if not servers:
        return
    oldest = min(servers.values(), key=numbers)
    newest = max(servers.values(), key=numbers)
    if _minor(newest) - _minor(oldest) > 1:
        yield Problem(
            where=_whose(servers, oldest),
            what=f"API servers would be {oldest} and {newest}, more than one minor release apart",
            advice="upgrade those of the oldest first",
        )
    for program in ("kube-controller-manager", "kube-scheduler"):
        for host, version in then.of(program).items():
            # Each asks the API server of its own host.
            own = servers.get(host, oldest)
            yield from _beside(program, host, version, oldest=own, newest=own, older=1)
    for program in ("kubelet", "kube-proxy"):
        found = then.of(program)
        for version in sorted(set(found.values()), key=numbers):
            older = 3 if _minor(version) >= _KUBELET_3_OLDER else 2
            where = _whose(found, version)
            yield from _beside(program, where, version, oldest=oldest, newest=newest, older=older)


def _beside(
    program: str, where: str, version: str, *, oldest: str, newest: str, older: int
) -> Iterator[Problem]:
    """A program beside API servers: never newer than the oldest of them, and at most `older` minor
    releases older than the newest. A kubelet is not even of a newer patch release."""
    parts = 3 if program == "kubelet" else 2
    if numbers(version)[:parts] > numbers(oldest)[:parts]:
        yield Problem(
            where=where,
            what=f"{program} {version} would be newer than the API server {oldest}",
            advice="upgrade the controllers first, then the nodes: run without --limit",
        )
    elif _minor(newest) - _minor(version) > older:
        releases = "one minor release" if older == 1 else f"{older} minor releases"
        yield Problem(
            where=where,
            what=f"{program} {version} would be more than {releases} older than the API server "
            f"{newest}",
            advice=f"upgrade {where} first: {' -> '.join(sequence(program, version, newest))}",
        )


def _minor(version: str) -> int:
    return numbers(version)[1]


def _whose(versions: Mapping[str, str], version: str) -> str:
    return ", ".join(host for host, found in versions.items() if found == version)
