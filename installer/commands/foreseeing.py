"""What a run would do that cannot be compared yet: hosts that are made, and all that comes upon
them."""

from __future__ import annotations

from collections.abc import Sequence

from installer.cluster import Cluster, Host
from installer.engine.plan import applies
from installer.events import Emit, Notice
from installer.roles import ROLES


def foresee(cluster: Cluster, making: Sequence[str], absent: Sequence[Host], emit: Emit) -> None:
    """Tells it, as one listing.

    Args:
        cluster: the cluster.
        making: what the platform would do, as its `plan` says.
        absent: hosts that are not there yet.
        emit: is told.
    """
    for each in making:
        text, _, diff = each.partition("\n")
        emit(Notice(text=f"would {text}", diff=diff))
    for names, roles in installing(cluster, absent).items():
        emit(Notice(text=f"would install on {', '.join(names)}: {', '.join(roles)}"))


def installing(cluster: Cluster, hosts: Sequence[Host]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The roles that hosts get, by the names of the hosts that get the same ones."""
    first = cluster.controllers[0]
    by_roles: dict[tuple[str, ...], tuple[str, ...]] = {}
    for host in hosts:
        roles = tuple(
            role.name
            for role in ROLES
            if not role.undoes and applies(role, cluster, host, leads=host == first)
        )
        by_roles[roles] = (*by_roles.get(roles, ()), host.name)
    return {names: roles for roles, names in by_roles.items()}
