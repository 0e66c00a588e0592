"""What the decoding of every kind needs: metadata, labels, addresses, and errors that name the
field."""

from __future__ import annotations

import sys
from ipaddress import ip_address, ip_network
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec

from romana.objects import Address, Network
from romana.sources.errors import InvalidObject


class Metadata(msgspec.Struct):
    """The part of `metadata` that every kind shares."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    resourceVersion: str = ""


class _LabelSet(dict[str, str]):
    """Labels that can be shared: a plain dict that a weak reference may point to. Never changed
    after it is made."""

    __slots__ = ("__weakref__",)


_label_sets: WeakValueDictionary[tuple[tuple[str, str], ...], _LabelSet] = WeakValueDictionary()


def shared_labels(labels: dict[str, str] | None) -> dict[str, str]:
    """The one copy of this set of labels. Pods of one workload share theirs, which is most of a
    large cluster's memory."""
    items = tuple(sorted(labels.items())) if labels else ()
    known = _label_sets.get(items)
    if known is None:
        known = _LabelSet((sys.intern(key), sys.intern(value)) for key, value in items)
        _label_sets[tuple(known.items())] = known
    return known


_Wire = TypeVar("_Wire", bound=msgspec.Struct)


def convert(kind: str, obj: object, into: type[_Wire]) -> _Wire:
    """Read a decoded object into a wire struct.

    Raises:
        InvalidObject: a field has the wrong type or is missing.
    """
    try:
        return msgspec.convert(obj, into)
    except msgspec.ValidationError as error:
        reason, _, field = str(error).partition(" - at ")
        raise InvalidObject(
            kind, name_in(kind, obj), field.strip("`").removeprefix("$."), reason
        ) from error


NAMESPACED = frozenset({"Pod", "NetworkPolicy"})


def name_in(kind: str, obj: object) -> str:
    """`namespace/name` of an object however broken, for messages."""
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    metadata = metadata if isinstance(metadata, dict) else {}
    name = str(metadata.get("name") or "(no name)")
    return f"{metadata.get('namespace') or 'default'}/{name}" if kind in NAMESPACED else name


def named(kind: str, metadata: Metadata) -> str:
    """The object's name, shared.

    Raises:
        InvalidObject: it has none.
    """
    if not metadata.name:
        raise InvalidObject(kind, "(no name)", "metadata.name", "is missing")
    return sys.intern(metadata.name)


def address(kind: str, name: str, field: str, text: str) -> Address:
    """An address of a field.

    Raises:
        InvalidObject: it is not one.
    """
    try:
        return ip_address(text)
    except ValueError as error:
        raise InvalidObject(kind, name, field, f"`{text}` is not an address") from error


def network(kind: str, name: str, field: str, text: str) -> Network:
    """A prefix of a field. Host bits may be set, as Kubernetes allows; they do not count.

    Raises:
        InvalidObject: it is not one.
    """
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidObject(kind, name, field, f"`{text}` is not a prefix") from error
