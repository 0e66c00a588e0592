"""Which leases nothing holds any more. Pure: what exists is asked through the functions given."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from romana.ipam.leases import Lease


def leftover(
    leases: Iterable[Lease],
    boot: str,
    namespace_exists: Callable[[str], bool],
    interface_exists: Callable[[str], bool],
) -> tuple[Lease, ...]:
    """The leases whose sandbox is gone.

    That is: both its network namespace and the host's interface are gone, or the host was booted
    since, which no sandbox survives. One of the two alone may be a sandbox that is being made or
    taken down just now.

    Args:
        leases: all of the host's.
        boot: the present boot.
        namespace_exists: whether a network namespace's path is there.
        interface_exists: whether an interface of the host is there.
    """
    return tuple(
        lease
        for lease in leases
        if not interface_exists(lease.interface)
        and (lease.boot != boot or not namespace_exists(lease.netns))
    )
