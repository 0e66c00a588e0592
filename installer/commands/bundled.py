"""Has a cluster taken from a bundle, where the command line names one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from installer.bundle import supply
from installer.bundle.signature import Trust
from installer.bundle.unpacking import open_bundle
from installer.cluster import Cluster
from installer.commands.clusters import Wish
from installer.events import Emit


def carried(cluster: Cluster, wish: Wish, emit: Emit) -> Cluster:
    """The cluster with the bundle that it is to be taken from, verified and unpacked; as it is
    where there is none.

    Raises:
        InstallerError: the bundle is not to be trusted, not whole, or not for this cluster.
    """
    if wish.bundle is None:
        return cluster
    accept = partial(supply.choice, cluster)
    directory = open_bundle(wish.bundle, trust(wish), emit, accept=accept)
    supply.require_versions(cluster, directory)
    return replace(cluster, bundle=directory)


def trust(wish: Wish) -> Trust:
    """Whose bundles the command line takes."""
    return Trust(keys=wish.bundle_key, anyone=wish.bundle_from_anyone)
