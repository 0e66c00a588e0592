"""What cannot be changed of a cluster that runs: addresses and names that are in its certificates
and in every pod, and by which its hosts are found. Hosts may come and go."""

from __future__ import annotations

import json
from collections.abc import Mapping

from installer.cluster import Cluster
from installer.errors import InstallerError

RECORD = "fixed.json"


def _fixed(cluster: Cluster) -> Mapping[str, str]:
    return {
        "network.pods": str(cluster.network.pods),
        "network.services": str(cluster.network.services),
        "network.block_size": str(cluster.network.block_size),
        "cluster.domain": cluster.domain,
        "groups.controller[0]": cluster.controllers[0].name,
        **{f"hosts.{host.name}.address": str(host.address) for host in cluster.hosts},
    }


def keep(cluster: Cluster) -> None:
    """Records it, once the cluster's control plane runs."""
    path = cluster.state / RECORD
    text = json.dumps(_fixed(cluster)) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def require(cluster: Cluster) -> None:
    """Whether the inventory still says what the cluster was made with.

    Raises:
        InstallerError: it does not; names what differs.
    """
    try:
        kept = json.loads((cluster.state / RECORD).read_text())
    except FileNotFoundError:
        return
    wanted = _fixed(cluster)
    changed = [
        f"{key} ({kept[key]} -> {wanted[key]})"
        for key in kept
        if kept[key] != wanted.get(key, kept[key])
    ]
    if changed:
        raise InstallerError(
            f"cluster {cluster.name} runs, and cannot change {', '.join(changed)}",
            "put the old value back, or destroy the cluster and install it again",
        )
