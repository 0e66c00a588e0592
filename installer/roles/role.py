"""What a role is: a title, where it applies, and a pure generator of what such a host should
hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from installer.artifacts.catalogue import Artifacts
from installer.cluster import Cluster, Host
from installer.etcd import Membership
from installer.hosts.facts import Facts
from installer.pki import Credentials
from installer.resources.base import Leaving, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """All that a role may look at. `facts` is the host's own; `others`, everybody's by host
    name; `membership`, what becomes of etcd's members."""

    host: Host
    facts: Facts
    cluster: Cluster
    others: Mapping[str, Facts]
    credentials: Credentials
    artifacts: Artifacts
    membership: Membership = Membership()

    @property
    def leads(self) -> bool:
        """Whether it is here that what a cluster needs once is done: on the first controller that
        can be reached."""
        there = (host for host in self.cluster.controllers if host.name in self.others)
        return self.host == next(there, None)


def nothing(target: Target) -> Iterator[Leaving]:
    """No traces."""
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One step of an installation. Roles run in their order; a role runs on all its hosts at once,
    and the next begins when all of them are done. A host that failed in one role is left out of the
    later ones.

    `on` says which hosts: every host, those of the control plane, the first controller that can be
    reached (what is applied to the cluster once), those that run pods, or every host of a cluster
    with several API servers. A role that `undoes` has nothing to do on a new host.
    `traces` is what its programs leave on a host while they run, for the day when all is taken off.
    """

    name: str
    title: str
    on: Literal["all", "controller", "first-controller", "nodes", "balanced"]
    resources: Callable[[Target], Iterator[Resource]]
    undoes: bool = False
    traces: Callable[[Target], Iterator[Leaving]] = nothing
