"""What a resource is: something a host should hold, that can be probed, compared and repaired.

Deciding is apart from doing. `probe` is POSIX sh text that prints what is there; `compare` is a
pure function of that print; a `Change` carries the POSIX sh text and the files that bring the
wanted state about. The engine runs many probes in one round trip, and many repairs in one.

Rules for the shell text: it runs as root under `sh -eu` (dash, busybox or bash as sh, coreutils of
2014), each resource in a subshell of its own, without standard input. A probe succeeds also where
nothing is there yet, changes nothing, and prints less than 64 KiB. A repair may be cut at any
instant and run again. Files that a change carries lie, in the repair's working directory, under
their `name`; they are put where they belong by an atomic rename.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A file that travels with a change: its bytes, or a (large) local file to send from."""

    name: str
    content: bytes | None = None
    source: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a resource differs and how to mend it. `before` and `after` are a few words; `diff` is
    unified, with secrets replaced by a digest. `prepare` is sh text that runs before any repair of
    the host in this run: what must be forgotten so that a run that is killed in between is taken
    up by the next one."""

    before: str
    after: str
    diff: str = ""
    repair: str
    files: tuple[Payload, ...] = ()
    timeout_s: float = 60.0
    prepare: str = ""


class Resource(Protocol):
    """Something one host should hold."""

    @property
    def id(self) -> str:
        """Kind and name, unique on a host: `file:/etc/hosts`, `service:etcd`."""

    @property
    def digest(self) -> str:
        """A digest of everything wanted of it; a service records its inputs' digests when it
        starts."""

    def probe(self) -> str:
        """POSIX sh that prints the present state on standard output."""

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """What differs between `seen` (the probe's output) and the wanted state, or None.

        Args:
            seen: standard output of `probe`.
            changing: ids of resources of the same host that this run changes before this one; a
                service that depends on one of them has to restart.
        """


@runtime_checkable
class Leaving(Protocol):
    """A resource that can be taken off a host again, so that what was there before is there."""

    @property
    def id(self) -> str:
        """As `Resource.id`."""

    @property
    def digest(self) -> str:
        """As `Resource.digest`."""

    def left(self) -> str:
        """POSIX sh that prints what is there of it and ours, and nothing once it is off."""

    def departure(self, seen: str, changing: Collection[str]) -> Change | None:
        """The change that takes it off, or None where nothing of it is left.

        Args:
            seen: standard output of `left`.
            changing: ids of resources of the same host that this run changes before this one.
        """


@dataclass(frozen=True, slots=True)
class Gone:
    """The wish that a resource is off the host: a resource like any other, so that taking off is
    planned, shown, carried out and looked at again as laying down is."""

    resource: Leaving

    @property
    def id(self) -> str:
        """That of the resource."""
        return self.resource.id

    @property
    def digest(self) -> str:
        """That of the resource."""
        return self.resource.digest

    def probe(self) -> str:
        """Prints what is left of it."""
        return self.resource.left()

    def compare(self, seen: str, changing: Collection[str]) -> Change | None:
        """Its departure."""
        return self.resource.departure(seen, changing)
