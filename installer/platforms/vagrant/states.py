"""What bringing machines up comes to, and which machines the Vagrantfile has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from installer.cluster import Cluster, Host
from installer.errors import PlatformError
from installer.inventory.loading import ALONE, FIRST_HOST
from installer.platforms.vagrant import settings
from installer.platforms.vagrant.machines import Machine

RUNNING = "running"
_STARTED_BY_UP = ("poweroff", "saved", "aborted", "stopped", "frozen", "shutoff", "paused")


def meant(
    hosts: Sequence[Host],
    states: Mapping[str, str],
    *,
    made: Sequence[str],
    known: Mapping[str, Machine],
) -> tuple[str, ...]:
    """What bringing machines up comes to, a line each.

    Args:
        hosts: that are not known or do not listen.
        states: of machines, in Vagrant's words, by name.
        made: names of machines that Vagrant has made.
        known: machines that can be logged in on.

    Raises:
        PlatformError: a machine is in a state that `vagrant up` does not lead out of.
    """
    return tuple(
        line
        for host in hosts
        if (line := _line(host, states.get(host.name, ""), host.name in made, host.name in known))
    )


def _line(host: Host, state: str, made: bool, known: bool) -> str:
    if state == RUNNING:
        if not known:
            return f"learn the host key of machine {host.name}, which runs"
        return f"wait for machine {host.name}, which runs and does not answer at {host.address}"
    if state == "not_created":
        again = " anew: it is gone from its provider" if made else ""
        return f"make machine {host.name} ({host.address}){again}"
    if state in _STARTED_BY_UP:
        return f"start machine {host.name}, which is {state}"
    raise PlatformError(
        f"machine {host.name} is {state or 'unknown to the Vagrantfile'}",
        f"look at it in its provider; to make it anew: vagrant destroy {host.name}",
    )


def require_fitting(cluster: Cluster) -> None:
    """Whether the Vagrantfile has these hosts.

    Raises:
        PlatformError: it has others; says which.
    """
    name = settings.ONE if is_one(cluster) else settings.SEVERAL
    if cluster.name != name:
        raise PlatformError(
            f"the Vagrantfile has no cluster {cluster.name}",
            f"leave the name out; it has {settings.SEVERAL} (a controller and nodes) and "
            f"{settings.ONE} (nodes: 0)",
        )
    nodes = [f"node{number}" for number in range(1, len(cluster.hosts))]
    names = [ALONE] if is_one(cluster) else ["controller", *nodes]
    first = FIRST_HOST - 1 if is_one(cluster) else FIRST_HOST
    wanted = {name: cluster.network.hosts[first + n] for n, name in enumerate(names)}
    for host in cluster.hosts:
        if wanted.get(host.name) != host.address:
            there = ", ".join(f"{name} {address}" for name, address in wanted.items())
            raise PlatformError(
                f"the Vagrantfile has no machine {host.name} with the address {host.address}",
                f"it has {there}; use nodes: {len(cluster.hosts) - 1} instead of hosts",
            )


def is_one(cluster: Cluster) -> bool:
    """Whether it is the cluster in the machine sandbox."""
    return len(cluster.hosts) == 1
