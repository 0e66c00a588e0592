"""What a role is: a title, where it applies, and a pure generator of what such a host should
hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from installer.artifacts.catalogue import Artifacts
from installer.cluster import Cluster, Host
from installer.hosts.facts import Facts
from installer.pki import Credentials
from installer.resources.base import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """All that a role may look at. `facts` is the host's own; `others`, everybody's by host
    name."""

    host: Host
    facts: Facts
    cluster: Cluster
    others: Mapping[str, Facts]
    credentials: Credentials
    artifacts: Artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One step of an installation. Roles run in their order; a role runs on all its hosts at once,
    and the next begins when all of them are done. A host that failed in one role is left out of the
    later ones.

    `on` says which hosts: every host, those of the control plane, the first controller only (what
    is applied to the cluster once), or those that run pods.
    """

    name: str
    title: str
    on: Literal["all", "controller", "first-controller", "nodes"]
    resources: Callable[[Target], Iterator[Resource]]
