"""Objects in AWS as values: wanted (`Record`) and found (`Found`), in the same terms, so that they
can be compared without knowing what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Another object of the cluster, by kind and name: its id is known once it is there."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


Value = str | Ref | tuple[str | Ref, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object as it should be.

    Args:
        ref: its kind and name.
        fields: what is compared, by name.
        details: what only its creation needs, and is never compared.
    """

    ref: Ref
    fields: Mapping[str, Value]
    details: Mapping[str, Any] = field(default_factory=dict)

    def many(self, name: str) -> tuple[str | Ref, ...]:
        """A field with several values."""
        value = self.fields[name]
        assert isinstance(value, tuple), name
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The same, of a field without references."""
        return tuple(str(each) for each in self.many(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object as it is.

    Args:
        ref: its kind and name.
        id: AWS' own: "vpc-0123abcd".
        owned: whether we made it; what is not ours is never changed or removed.
        fields: as in Record; references are ids.
        details: what else is known of it.
    """

    ref: Ref
    id: str
    owned: bool
    fields: Mapping[str, str | tuple[str, ...]]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that was found of a cluster. Instances that are being terminated are not in it."""

    objects: Mapping[Ref, Found]

    def __iter__(self) -> Iterator[Found]:
        return iter(self.objects.values())

    def get(self, kind: str, name: str = "") -> Found | None:
        """An object, or None."""
        return self.objects.get(Ref(kind, name))

    def of(self, kind: str) -> tuple[Found, ...]:
        """All of a kind, by name."""
        found = (each for ref, each in self.objects.items() if ref.kind == kind)
        return tuple(sorted(found, key=lambda each: each.ref.name))

    @property
    def ids(self) -> dict[Ref, str]:
        """Ids by reference, also of what comes with objects (the interface of an instance)."""
        found = {ref: each.id for ref, each in self.objects.items()}
        for each in self.of("instance"):
            found[Ref("interface", each.ref.name)] = str(each.details["interface"])
        return found


def tags(cluster: str, ref: Ref) -> list[dict[str, str]]:
    """The tags of what we make. `kubernetes.io/cluster/NAME` is what other tools look for as
    well."""
    return [
        {"Key": "Name", "Value": " ".join(filter(None, (cluster, ref.name or ref.kind)))},
        {"Key": owner_tag(cluster), "Value": "owned"},
        {"Key": NAME_TAG, "Value": ref.name},
    ]


NAME_TAG = "romana.io/name"
"""The object's name within its kind: a zone, a host."""
HOST_KEY_TAG = "romana.io/host-key"
"""An instance's SSH host key: public, and out of the instance's own reach."""
NEXT_KEY_TAG = "romana.io/next-host-key"
"""The host key that is about to replace it."""


def owner_tag(cluster: str) -> str:
    """The tag that says whose an object is."""
    return f"kubernetes.io/cluster/{cluster}"


def tagged(raw: Mapping[str, Any], key: str) -> str:
    """The value of a tag, or nothing."""
    for tag in raw.get("Tags") or raw.get("TagSet") or ():
        if tag["Key"] == key:
            return str(tag["Value"])
    return ""
