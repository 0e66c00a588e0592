"""The latest of every object, and a wake-up for whoever must act on a change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from romana.agent.overlay import Frozen
from romana.objects import SEGMENT_LABELS, AddressBlock, Key, Object, Pod, Snapshot
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.kinds import KINDS, Kind

_Found = TypeVar("_Found")

log = logging.getLogger(__name__)


class Store:
    """Holds what the sources deliver (it is their Sink). Single-threaded: only the event loop
    touches it.

    A change that changes nothing Romana reads (most updates of a pod's status) wakes nobody.
    Changes that come while the reconciler is at work are taken together by its next round.

    Args:
        segment_labels: the labels that put a pod into a segment, the first that it has counts.
    """

    def __init__(self, segment_labels: tuple[str, ...] = SEGMENT_LABELS) -> None:
        self.segment_labels = segment_labels
        self._objects: dict[str, dict[Key, Object]] = {kind.field: {} for kind in KINDS}
        self._frozen = {kind.field: Frozen() for kind in KINDS}
        self._changes: dict[str, set[Key]] | None = None
        self._synced: set[str] = set()
        self._refused: dict[tuple[str, Key], InvalidObject] = {}
        self._troubles: dict[str, SourceError] = {}
        self._changed = asyncio.Event()
        self._since: float | None = None
        self._pulse = asyncio.Event()
        self.revision = ""

    @property
    def synced(self) -> bool:
        """Whether every kind has been read in full once."""
        return len(self._synced) == len(KINDS)

    @property
    def missing(self) -> tuple[str, ...]:
        """The kinds that have not been read yet."""
        return tuple(kind.name for kind in KINDS if kind.field not in self._synced)

    @property
    def problems(self) -> tuple[SourceError, ...]:
        """Everything that is wrong with the sources or with objects now."""
        return (*self._troubles.values(), *self._refused.values())

    @property
    def refused(self) -> tuple[InvalidObject, ...]:
        """The objects that cannot be read."""
        return tuple(self._refused.values())

    @property
    def refused_policies(self) -> tuple[InvalidObject, ...]:
        """Those of them that isolate: policies, and namespaces by their annotation."""
        return tuple(
            error
            for (field, _), error in self._refused.items()
            if field in ("policies", "operator_policies", "namespaces")
        )

    @property
    def troubles(self) -> tuple[SourceError, ...]:
        """The parts of the source that do not work now."""
        return tuple(self._troubles.values())

    def replace(self, kind: Kind, objects: list[Object], invalid: list[InvalidObject]) -> None:
        """Take the whole list of one kind."""
        old = self._objects[kind.field]
        new = {obj.key: obj for obj in objects}
        for entry in [key for key in self._refused if key[0] == kind.field]:
            del self._refused[entry]
        for error in invalid:
            self._refused[(kind.field, error.key)] = error
            kept = error.closed or old.get(error.key)
            if kept is not None:
                new.setdefault(kept.key, kept)
        first = kind.field not in self._synced
        self._synced.add(kind.field)
        changed = {key for key, obj in new.items() if old.get(key) != obj}
        changed.update(key for key in old if key not in new)
        if first or invalid or changed:
            # What has not changed stays the same value: nothing is kept in memory twice.
            self._objects[kind.field] = {
                key: obj if key in changed else old[key] for key, obj in new.items()
            }
            self._frozen[kind.field].replace()
            self._touch(kind, changed)

    def put(self, kind: Kind, obj: Object) -> None:
        """Take a new or changed object."""
        objects = self._objects[kind.field]
        self._refused.pop((kind.field, obj.key), None)
        key = obj.key
        if objects.get(key) != obj:
            objects[key] = obj
            self._frozen[kind.field].change(key, obj)
            self._touch(kind, (key,))

    def refuse(self, kind: Kind, error: InvalidObject) -> None:
        """Take notice that an object cannot be read. Its last good state stays in force; of a
        policy, its closed form."""
        if error.closed is not None:
            self.put(kind, error.closed)
        self._refused[(kind.field, error.key)] = error
        self._touch(kind, ())

    def remove(self, kind: Kind, key: Key) -> None:
        """Forget an object."""
        self._refused.pop((kind.field, key), None)
        if self._objects[kind.field].pop(key, None) is not None:
            self._frozen[kind.field].change(key, None)
            self._touch(kind, (key,))

    def mark(self, revision: str) -> None:
        """Take notice that the objects are those of a revision of the source."""
        if revision != self.revision:
            self.revision = revision
            self.wake()

    def trouble(self, where: str, error: SourceError | None) -> None:
        """Take notice that a part of the source does not work, or works again."""
        before = self._troubles.pop(where, None)
        if error is not None:
            self._troubles[where] = error
            if str(error) != str(before):
                log.warning("the source is in trouble", extra={"reason": str(error)})
        elif before is not None:
            log.info("the source works again", extra={"where": where})

    def pod(self, key: Key) -> Pod | None:
        """One pod, or None."""
        found = self._objects["pods"].get(key)
        return found if isinstance(found, Pod) else None

    def blocks(self) -> tuple[AddressBlock, ...]:
        """The address blocks of all nodes."""
        return tuple(
            each for each in self._objects["blocks"].values() if isinstance(each, AddressBlock)
        )

    def counts(self) -> dict[str, int]:
        """How many objects of each kind there are."""
        return {kind.name: len(self._objects[kind.field]) for kind in KINDS}

    def snapshot(self) -> Snapshot:
        """All objects as they are now. Kinds that have not changed since the last one are the same
        values."""
        found = {name: self._frozen[name].snapshot(each) for name, each in self._objects.items()}
        return Snapshot(**found, segment_labels=self.segment_labels)  # type: ignore[arg-type]

    def changes(self) -> Mapping[str, Collection[Key]] | None:
        """The keys of what has changed since the last call, by the name of the mapping in a
        Snapshot; None the first time. To be asked together with the snapshot."""
        changes, self._changes = self._changes, {}
        return changes

    def wake(self) -> None:
        """Wake the reconciler for a reason of one's own."""
        self._changed.set()

    async def changed(self) -> float | None:
        """Wait until something has changed since the last call returned.

        Returns:
            When the oldest of the changes came (monotonic seconds); None where there was only a
            wake-up.
        """
        await self._changed.wait()
        self._changed.clear()
        since, self._since = self._since, None
        return since

    async def until(self, find: Callable[[], _Found | None]) -> _Found:
        """Wait until `find` finds something, asking it again after each change. The caller sets the
        time limit."""
        while (found := find()) is None:
            await self._pulse.wait()
        return found

    def _touch(self, kind: Kind, keys: Iterable[Key]) -> None:
        if self._changes is not None:
            self._changes.setdefault(kind.field, set()).update(keys)
        if self._since is None:
            self._since = time.monotonic()
        self._changed.set()
        self._pulse.set()
        self._pulse = asyncio.Event()
