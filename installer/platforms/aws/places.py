"""Where a cluster is in AWS, and where this machine keeps what belongs to it."""

from __future__ import annotations

from pathlib import Path

from installer.cluster import Cluster, Host
from installer.inventory import aws as inventory
from installer.platforms.aws.kinds import Scope


def settings_of(cluster: Cluster) -> inventory.Aws:
    """The inventory's section."""
    assert isinstance(cluster.section, inventory.Aws)
    return cluster.section


def scope_of(cluster: Cluster) -> Scope:
    """Whose objects are looked for."""
    return Scope(cluster=cluster.name, settings=settings_of(cluster))


def key_of(cluster: Cluster, host: Host | None = None) -> Path:
    """The private key that logs in: the inventory's, or one of the cluster's own."""
    given = (host or cluster.hosts[0]).ssh.key
    return given or cluster.state / "aws" / "id_ed25519"


def identity_of(cluster: Cluster, host: Host) -> Path:
    """The host key of a host that is being launched."""
    return cluster.state / "aws" / "hosts" / host.name
