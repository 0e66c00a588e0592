"""A large mapping as it was at one moment, without a copy of the whole."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any

from romana.objects import Key, Object

SMALL = 4096
"""Mappings up to this size are copied: that takes no longer than 0.1 ms."""
SHARE = 64
"""A mapping is copied as a whole when this share of it, one in so many, has changed."""

_ABSENT: Any = object()


class Overlay(Mapping[Key, Object]):
    """A mapping and what is different from it.

    Args:
        base: never changes.
        changed: likewise; None stands for what is not there any more.
    """

    __slots__ = ("_base", "_changed", "_size")

    def __init__(self, base: Mapping[Key, Object], changed: Mapping[Key, Object | None]) -> None:
        self._base = base
        self._changed = changed
        self._size = len(base) + sum(
            (obj is not None) - (key in base) for key, obj in changed.items()
        )

    def __getitem__(self, key: Key) -> Object:
        found = self._changed.get(key, _ABSENT)
        if found is _ABSENT:
            return self._base[key]
        if found is None:
            raise KeyError(key)
        return found  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Key]:
        yield from (key for key in self._base if key not in self._changed)
        yield from (key for key, obj in self._changed.items() if obj is not None)

    def __len__(self) -> int:
        return self._size

    def items(self) -> ItemsView[Key, Object]:
        """As of any mapping, but quicker than by looking up each key."""
        return _Items(self)

    def values(self) -> ValuesView[Object]:
        """As of any mapping, but quicker than by looking up each key."""
        return _Values(self)

    def pairs(self) -> Iterator[tuple[Key, Object]]:
        """Keys with their objects."""
        changed = self._changed
        yield from (pair for pair in self._base.items() if pair[0] not in changed)
        yield from ((key, obj) for key, obj in changed.items() if obj is not None)


class _Items(ItemsView[Key, Object]):
    _mapping: Overlay

    def __iter__(self) -> Iterator[tuple[Key, Object]]:
        return self._mapping.pairs()


class _Values(ValuesView[Object]):
    _mapping: Overlay

    def __iter__(self) -> Iterator[Object]:
        return (obj for _, obj in self._mapping.pairs())


class Frozen:
    """Makes snapshots of one mapping that changes."""

    def __init__(self) -> None:
        self._base: Mapping[Key, Object] | None = None
        self._changed: dict[Key, Object | None] = {}
        self._last: Mapping[Key, Object] | None = None

    def change(self, key: Key, obj: Object | None) -> None:
        """Take notice that an object is another one now, or None."""
        self._changed[key] = obj
        self._last = None

    def replace(self) -> None:
        """Take notice that anything may have changed."""
        self._base = self._last = None

    def snapshot(self, objects: Mapping[Key, Object]) -> Mapping[Key, Object]:
        """The mapping as it is now; the same value while nothing changes."""
        if self._last is None:
            few = len(self._changed) * SHARE <= len(objects)
            if self._base is None or len(objects) <= SMALL or not few:
                self._base = dict(objects)
                self._changed.clear()
            changed = dict(self._changed)
            self._last = Overlay(self._base, changed) if changed else self._base
        return self._last
