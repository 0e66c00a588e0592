"""Where hosts come from."""

from __future__ import annotations

from installer.cluster import Cluster
from installer.errors import PlatformError
from installer.platforms.base import Platform
from installer.platforms.sandbox.platform import Sandbox

__all__ = ["Platform", "of"]


def of(cluster: Cluster) -> Platform:
    """The platform that a cluster's hosts come from.

    Raises:
        PlatformError: there is none of that name yet.
    """
    if cluster.platform == "sandbox":
        return Sandbox()
    raise PlatformError(
        f"platform {cluster.platform} is not built yet", "romana-install sandbox is"
    )
