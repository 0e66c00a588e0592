"""Init systems: each renders a Service value and says in a few words of sh how to drive it."""

from __future__ import annotations

from installer.errors import InstallerError
from installer.hosts.facts import Facts
from installer.hosts.init.systemd import Systemd
from installer.hosts.init.upstart import Upstart
from installer.resources.service import Init

__all__ = ["Systemd", "Upstart", "of"]


def of(facts: Facts) -> Init:
    """The host's init system.

    Raises:
        InstallerError: there is no renderer for it.
    """
    if facts.init == "systemd":
        return Systemd()
    if facts.init == "upstart":
        return Upstart()
    raise InstallerError(
        f"{facts.hostname}: its init system is {facts.init}, and services need systemd or upstart",
        "use a host that boots with one of them",
    )
