"""Where hosts come from."""

from __future__ import annotations

from collections.abc import Callable

from installer.cluster import Cluster
from installer.errors import PlatformError
from installer.platforms.base import Platform

__all__ = ["Platform", "defaults", "in_cloud", "of"]


# Each is imported when it is wanted: together they take longer than a run with nothing to do.


def _aws() -> Platform:
    from installer.platforms.aws import Aws

    return Aws()


def _sandbox() -> Platform:
    from installer.platforms.sandbox.platform import Sandbox

    return Sandbox()


def _static() -> Platform:
    from installer.platforms.static import Static

    return Static()


def _vagrant() -> Platform:
    from installer.platforms.vagrant.platform import Vagrant

    return Vagrant()


_PLATFORMS: dict[str, Callable[[], Platform]] = {
    "aws": _aws,
    "sandbox": _sandbox,
    "static": _static,
    "vagrant": _vagrant,
}
_CLOUDS = ("aws",)


def defaults(name: str, nodes: int | None) -> tuple[str, ...]:
    """What a platform's own settings say where an inventory says nothing: "KEY=VALUE".

    Args:
        name: of the platform.
        nodes: how many the command line asks for.

    Raises:
        PlatformError: the settings are unsound.
    """
    if name != "vagrant":
        return ()
    from installer.platforms.vagrant.platform import defaults as vagrant_defaults

    return vagrant_defaults(nodes)


def of(cluster: Cluster) -> Platform:
    """The platform that a cluster's hosts come from.

    Raises:
        PlatformError: there is none of that name yet.
    """
    if cluster.platform in _PLATFORMS:
        return _PLATFORMS[cluster.platform]()
    raise PlatformError(
        f"platform {cluster.platform} is not built yet",
        f"there is {', '.join(f'romana-install {name}' for name in _PLATFORMS)}",
    )


def in_cloud(cluster: Cluster) -> bool:
    """Whether its hosts are paid for, and are found in an account whatever this machine knows."""
    return cluster.platform in _CLOUDS
