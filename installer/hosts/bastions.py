"""The hosts that the way to others leads through: one connection to each, shared by all sessions
that need it, since sshd refuses many that begin at once (MaxStartups)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from fabric.connection import Connection as Fabric

from installer.cluster import Bastion, Host
from installer.errors import HostError

Open = Callable[[Host | Bastion, Fabric | None], Fabric]
"""Opens a connection, through another or directly."""


class Bastions:
    """Ways in, opened when they are first needed.

    Args:
        candidates: all hosts that may be named as a bastion.
        open_: opens a connection to one.
    """

    def __init__(self, candidates: Sequence[Host | Bastion], open_: Open) -> None:
        self._known = {each.name: each for each in candidates}
        self._open = open_
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._ways: dict[str, Fabric | HostError] = {}

    def way(self, host: Host) -> Fabric | None:
        """The connection that leads to a host; None where none is needed.

        Raises:
            Unreachable: the bastion cannot be reached; the message is the same for all hosts behind
                it.
        """
        name = host.ssh.bastion
        if not name:
            return None
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if name not in self._ways:
                try:
                    self._ways[name] = self._open(self._known[name], None)
                except HostError as error:
                    self._ways[name] = error
        found = self._ways[name]
        if isinstance(found, HostError):
            raise type(found)(host.name, f"{host.name}: behind {found.message}", found.advice)
        return found

    def close(self) -> None:
        """Ends the connections."""
        for found in self._ways.values():
            if isinstance(found, Fabric):
                found.close()  # type: ignore[no-untyped-call]
