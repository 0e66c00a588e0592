"""What cannot be changed of a cluster that runs: addresses and names that are in its certificates
and in every pod, and by which its hosts are found. Hosts may come and go; so may controllers, as
long as one stays that holds the cluster's data."""

from __future__ import annotations

import json
from collections.abc import Mapping

from installer.cluster import Cluster
from installer.errors import InstallerError

RECORD = "fixed.json"
_CONTROLLERS = "groups.controller"
_FIRST = f"{_CONTROLLERS}[0]"
"""As earlier versions kept it: the only controller that had to stay."""


def _fixed(cluster: Cluster) -> Mapping[str, str]:
    controllers = cluster.controllers
    return {
        "network.pods": str(cluster.network.pods),
        "network.services": str(cluster.network.services),
        "network.block_size": str(cluster.network.block_size),
        "cluster.domain": cluster.domain,
        _CONTROLLERS: ",".join(host.name for host in controllers),
        **{f"hosts.{host.name}.address": str(host.address) for host in cluster.hosts},
    }


def keep(cluster: Cluster) -> None:
    """Records it, once the cluster's control plane runs."""
    path = cluster.state / RECORD
    text = json.dumps(_fixed(cluster)) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def controllers(cluster: Cluster) -> tuple[str, ...]:
    """Names of the controllers with which the cluster ran the last time; none where it never
    did."""
    kept = _kept(cluster)
    names = kept.get(_CONTROLLERS, kept.get(_FIRST, ""))
    return tuple(names.split(",")) if names else ()


def require(cluster: Cluster) -> None:
    """Whether the inventory still says what the cluster was made with.

    Raises:
        InstallerError: it does not; names what differs.
    """
    kept, wanted = _kept(cluster), _fixed(cluster)
    before = controllers(cluster)
    movable = {f"hosts.{name}.address" for name in before}
    changed = {
        key: f"{key} ({kept[key]} -> {wanted[key]})"
        for key in kept
        if key not in (_CONTROLLERS, _FIRST) and kept[key] != wanted.get(key, kept[key])
    }
    if not kept:
        return
    firm = [text for key, text in changed.items() if key not in movable]
    if firm:
        raise InstallerError(
            f"cluster {cluster.name} runs, and cannot change {', '.join(firm)}",
            "put the old value back (a host that moves is taken out, and in another run added "
            "again), or destroy the cluster and install it again",
        )
    stay = [
        host.name
        for host in cluster.controllers
        if host.name in before and f"hosts.{host.name}.address" not in changed
    ]
    if not stay:
        raise InstallerError(
            f"no controller of {cluster.name} stays as it is ({', '.join(before)}), and its data "
            "are on them",
            "keep one until others have joined it, and take it out in a later run; or rebuild the "
            "control plane elsewhere from a backup: romana-install restore FILE -i INVENTORY",
        )


def _kept(cluster: Cluster) -> Mapping[str, str]:
    try:
        kept: Mapping[str, str] = json.loads((cluster.state / RECORD).read_text())
    except FileNotFoundError:
        return {}
    return kept


def forget(cluster: Cluster) -> None:
    """Nothing runs any more that could not be changed."""
    for path in (cluster.state / RECORD, cluster.kubeconfig):
        path.unlink(missing_ok=True)
