"""The kinds of objects that are read: where the API serves them, and how a page, an event or a
manifest is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from romana.objects import Key, Object
from romana.sources import wire
from romana.sources.beta import WireBetaPolicy, beta_policy_from, beta_policy_of
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.fields import Metadata
from romana.sources.policies import WirePolicy, policy_of
from romana.sources.romana_policies import (
    WireRomanaPolicy,
    romana_policy_from,
    romana_policy_of,
)

_Item = TypeVar("_Item")


class ListMetadata(msgspec.Struct):
    """`metadata` of a list."""

    resourceVersion: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class WirePage(msgspec.Struct, Generic[_Item]):
    """One page of a list."""

    metadata: ListMetadata
    items: list[_Item] | None = None


class WireEvent(msgspec.Struct):
    """One line of a watch; what `object` is follows from `type`."""

    type: str
    object: msgspec.Raw


class WireStatus(msgspec.Struct):
    """v1 Status: how the API says what went wrong."""

    code: int = 0
    reason: str = ""
    message: str = ""


class WireAny(msgspec.Struct):
    """Any object, as far as it is named."""

    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object.

    Args:
        name: as in `kind`.
        api_version: as in `apiVersion`.
        plural: the name of its collection in the API.
        field: the name of its mapping in a Snapshot.
        namespaced: whether its objects live in namespaces.
        read: the object of a manifest; raises InvalidObject.
        of: the object of a decoded wire struct; raises InvalidObject.
        page: decodes a page of the list.
        item: decodes one object.
    """

    name: str
    api_version: str
    plural: str
    field: str
    namespaced: bool
    read: Callable[[object], Object]
    of: Callable[[Any], Object]
    page: msgspec.json.Decoder[Any]
    item: msgspec.json.Decoder[Any]

    @property
    def path(self) -> str:
        """Where the API serves the collection over all namespaces."""
        root = "/api" if "/" not in self.api_version else "/apis"
        return f"{root}/{self.api_version}/{self.plural}"

    def key(self, metadata: Metadata) -> Key:
        """The key of an object of this kind."""
        return ((metadata.namespace or "default") if self.namespaced else "", metadata.name)


def _kind(
    name: str,
    field: str,
    struct: type[msgspec.Struct],
    read: Callable[[object], Object],
    of: Callable[[Any], Object],
    *,
    api_version: str = "v1",
    namespaced: bool = False,
) -> Kind:
    return Kind(
        name=name,
        api_version=api_version,
        plural=f"{name.lower()}s".replace("policys", "policies"),
        field=field,
        namespaced=namespaced,
        read=read,
        of=of,
        page=msgspec.json.Decoder(WirePage[struct]),  # type: ignore[valid-type]
        item=msgspec.json.Decoder(struct),
    )


NAMESPACE = _kind(
    "Namespace", "namespaces", wire.WireNamespace, wire.namespace_from, wire.namespace_of
)
POD = _kind("Pod", "pods", wire.WirePod, wire.pod_from, wire.pod_of, namespaced=True)
POLICY = _kind(
    "NetworkPolicy",
    "policies",
    WirePolicy,
    wire.policy_from,
    policy_of,
    api_version="networking.k8s.io/v1",
    namespaced=True,
)
BETA_POLICY = _kind(
    "NetworkPolicy",
    "policies",
    WireBetaPolicy,
    beta_policy_from,
    beta_policy_of,
    api_version="extensions/v1beta1",
    namespaced=True,
)
"""Kubernetes 1.3-1.15. Both kinds fill the same mapping: a server of both keeps each policy once
and shows it as either."""
ROMANA_POLICY = _kind(
    "RomanaPolicy",
    "operator_policies",
    WireRomanaPolicy,
    romana_policy_from,
    romana_policy_of,
    api_version="romana.io/v1",
)
NODE = _kind("Node", "nodes", wire.WireNode, wire.node_from, wire.node_of)
BLOCK = _kind(
    "AddressBlock",
    "blocks",
    wire.WireBlock,
    wire.block_from,
    wire.block_of,
    api_version="romana.io/v1",
)
KINDS = (NAMESPACE, NODE, BLOCK, POLICY, ROMANA_POLICY, POD)
"""In the order in which they are asked for: pods, the most numerous, last."""

OLDER: Mapping[str, Kind] = {POLICY.name: BETA_POLICY}
"""What is asked for where the API does not serve a kind."""

BY_TYPE: Mapping[tuple[str, str], Kind] = {
    (kind.api_version, kind.name): kind for kind in (*KINDS, *OLDER.values())
}


class Sink(Protocol):
    """Where a source delivers: the agent's store."""

    def replace(self, kind: Kind, objects: list[Object], invalid: list[InvalidObject]) -> None:
        """Take the whole list of one kind, which is synchronized from then on."""

    def put(self, kind: Kind, obj: Object) -> None:
        """Take a new or changed object."""

    def refuse(self, kind: Kind, error: InvalidObject) -> None:
        """Take notice that an object cannot be read."""

    def remove(self, kind: Kind, key: Key) -> None:
        """Forget an object."""

    def mark(self, revision: str) -> None:
        """Take notice that what was delivered is the source's state of this name."""

    def trouble(self, where: str, error: SourceError | None) -> None:
        """Take notice that a part of the source does not work, or works again (None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, decoded. `more` is the token for the next one, empty at the end."""

    objects: list[Object]
    invalid: list[InvalidObject]
    version: str
    more: str


def decode_page(kind: Kind, data: bytes) -> Page:
    """Decode a page of a list. One object that cannot be read does not spoil the others.

    Raises:
        SourceError: it is not a list at all.
    """
    try:
        page = kind.page.decode(data)
        return Page(
            objects=[kind.of(item) for item in page.items or ()],
            invalid=[],
            version=page.metadata.resourceVersion,
            more=page.metadata.continue_,
        )
    except (msgspec.ValidationError, InvalidObject):
        return _decode_each(kind, data)
    except msgspec.DecodeError as error:
        raise SourceError(f"the list of {kind.plural} is not JSON: {error}") from error


def _decode_each(kind: Kind, data: bytes) -> Page:
    try:
        page = msgspec.json.decode(data, type=WirePage[Any])
    except msgspec.ValidationError as error:
        raise SourceError(f"this is not a list of {kind.plural}: {error}") from error
    objects, invalid = read_all(kind, page.items or [])
    return Page(
        objects=objects,
        invalid=invalid,
        version=page.metadata.resourceVersion,
        more=page.metadata.continue_,
    )


def read_all(kind: Kind, items: list[object]) -> tuple[list[Object], list[InvalidObject]]:
    """Read each manifest of one kind; what cannot be read is told apart."""
    objects: list[Object] = []
    invalid: list[InvalidObject] = []
    for item in items:
        try:
            objects.append(kind.read(item))
        except InvalidObject as error:
            invalid.append(error)
    return objects, invalid


def decode_object(kind: Kind, data: bytes | msgspec.Raw) -> Object:
    """Decode one object.

    Raises:
        InvalidObject: it cannot be read; of a policy, `closed` says what must be enforced instead.
    """
    try:
        return kind.of(kind.item.decode(data))
    except (msgspec.ValidationError, InvalidObject):
        return kind.read(msgspec.json.decode(data))
