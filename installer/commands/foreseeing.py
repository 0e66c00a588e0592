"""What a run would do that cannot be compared yet: hosts that are made, and all that comes upon
them."""

from __future__ import annotations

from collections.abc import Sequence

from installer.cluster import Cluster, Host
from installer.engine.plan import applies
from installer.events import Emit, Notice, ResourceResult, RoleStarted
from installer.roles import ROLES


def foresee(cluster: Cluster, making: Sequence[str], absent: Sequence[Host], emit: Emit) -> None:
    """Tells it, as one listing.

    Args:
        cluster: the cluster.
        making: what the platform would do, as its `plan` says.
        absent: hosts that are not there yet.
        emit: is told.
    """
    title = RoleStarted(role=cluster.platform, title="Make the hosts", hosts=(cluster.platform,))
    if any("\n" in each for each in making):
        emit(title)
    for each in making:
        text, _, diff = each.partition("\n")
        if diff:
            emit(_change(cluster, text, diff))
        else:
            emit(Notice(text=f"would {text}"))
    for names, roles in installing(cluster, absent).items():
        emit(Notice(text=f"would install on {', '.join(names)}: {', '.join(roles)}"))


def _change(cluster: Cluster, text: str, diff: str) -> ResourceResult:
    return ResourceResult(
        host=cluster.platform,
        role=cluster.platform,
        resource=f"would {text}",
        outcome="changed",
        diff=diff,
    )


def installing(cluster: Cluster, hosts: Sequence[Host]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The roles that hosts get, by the names of the hosts that get the same ones."""
    first = cluster.controllers[0].name
    by_roles: dict[tuple[str, ...], tuple[str, ...]] = {}
    for host in hosts:
        roles = tuple(role.name for role in ROLES if applies(role, host, first))
        by_roles[roles] = (*by_roles.get(roles, ()), host.name)
    return {names: roles for roles, names in by_roles.items()}
