"""The roles backwards: what has to go from a host, so that what was there before us is there.

Nothing is had or made for it: no artifact, no secret. What counts is what the host itself has
recorded, and the names of things; so a host is taken as being everything that it could have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from installer import images, releases
from installer.artifacts.catalogue import KUBERNETES_PROGRAMS, Artifacts, Resolved
from installer.artifacts.upstream import UPSTREAM
from installer.cluster import Cluster, Host
from installer.hosts.facts import Facts
from installer.pki import AUTHORITIES, Credentials, Pair
from installer.resources import Gone, Leaving, Resource, Service
from installer.roles import ROLES
from installer.roles.brought import python_version
from installer.roles.role import Role, Target
from romana.version import VERSION

TITLES = {
    "snapshots": "Keep no more snapshots",
    "base": "Take packages and settings off",
    "pki": "Take certificates and keys off",
    "runtime": "End the container runtime",
    "images": "Remove images",
    "balancer": "End the balancer",
    "etcd": "End etcd",
    "control-plane": "End the control plane",
    "network": "End the network",
    "kubelet": "End the kubelet and its pods",
    "kube-proxy": "End the service proxy",
}


def leaving(roles: Sequence[Role] = ROLES) -> tuple[Role, ...]:
    """The roles that take off, in their order."""
    return tuple(_reversed(role) for role in reversed(roles) if role.name in TITLES)


def _reversed(role: Role) -> Role:
    def resources(target: Target) -> Iterator[Resource]:
        there = [each for each in role.resources(target) if isinstance(each, Leaving)]
        services = [each for each in reversed(there) if isinstance(each, Service)]
        others = [each for each in reversed(there) if not isinstance(each, Service)]
        yield from map(Gone, (*services, *role.traces(target), *others))

    return replace(role, title=TITLES[role.name], on="all", resources=resources)


def target(cluster: Cluster, host: Host, facts: Facts) -> Target:
    """What roles may look at, to say what they would have laid down on a host.

    Args:
        cluster: that the host belongs to, or belonged to.
        host: which may not be one of the cluster's any more.
        facts: its own.
    """
    everything = replace(host, groups=("controller", "nodes"))
    names = [images.PAUSE, images.BUSYBOX]
    return Target(
        host=everything,
        facts=facts,
        cluster=replace(
            cluster,
            # With several controllers, a mirror and a repository there is all that there can be.
            hosts=(everything, replace(everything, name=f"{host.name}-too")),
            package_mirror="any",
            package_repository="any",
        ),
        others={host.name: facts},
        credentials=_credentials(),
        artifacts=Artifacts(
            kubernetes=f"v1.{releases.NEWEST}.0",
            programs={name: _resolved(name) for name in KUBERNETES_PROGRAMS},
            releases={python_version(facts): _resolved("romana", VERSION)},
            images=tuple(map(_resolved, names)),
            upstream={name: _resolved(name) for name in UPSTREAM},
        ),
    )


def _resolved(name: str, version: str = "any") -> Resolved:
    return Resolved(name=name, version=version, path=Path("/dev/null"), sha256="")


class _Any(Mapping[tuple[str, str], Pair]):
    """Holds something for every name."""

    def __getitem__(self, key: tuple[str, str]) -> Pair:
        return Pair(certificate=b"", key=b"")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _credentials() -> Credentials:
    empty = Pair(certificate=b"", key=b"")
    return Credentials(
        authorities={each.name: empty for each in AUTHORITIES},
        issued=_Any(),
        trusted={each.name: b"" for each in AUTHORITIES},
        service_account=empty,
        old_tokens=False,
        encryption_key="",
    )
