"""What a platform is: where hosts come from. The engine sees only hosts that it can reach by
SSH."""

from __future__ import annotations

from typing import Protocol

from installer.cluster import Cluster
from installer.events import Emit


class Platform(Protocol):
    """A source of hosts. All methods raise PlatformError, and may be called again after having
    been killed anywhere."""

    def plan(self, cluster: Cluster) -> tuple[str, ...]:
        """What `provision` would do, one text for each thing; empty where all is as it should be.
        The first line is the thing, those that follow are how it differs (for `--diff`). Changes
        nothing."""

    def attach(self, cluster: Cluster) -> Cluster:
        """The cluster with what it takes to reach those hosts that exist (addresses, key, host
        key, dial). Changes nothing: for `--check`, `status`, `test`, `ssh`. Hosts that do not
        exist come back as they were."""

    def provision(self, cluster: Cluster, emit: Emit) -> Cluster:
        """Makes the hosts that are missing and waits until they answer; returns the cluster as
        `attach` does."""

    def inside(self, cluster: Cluster) -> tuple[str, ...]:
        """The words before a command that has to reach the hosts' addresses: empty where they can
        be reached from here."""

    def publish(self, cluster: Cluster) -> str:
        """Makes the API server reachable for the operator, and returns its URL:
        "https://127.0.0.1:16443"."""

    def destroy(self, cluster: Cluster, emit: Emit) -> None:
        """Removes all hosts and everything that came with them; nothing is left on this machine."""
