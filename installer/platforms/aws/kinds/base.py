"""What a kind of object is: how it is found, made, changed and removed. All but finding is pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.inventory.aws import Aws
from installer.platforms.aws.api import Api
from installer.platforms.aws.calls import Call
from installer.platforms.aws.records import Found, Record, Ref, owner_tag, tagged, tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose objects are looked for: the cluster's name, and its section of the inventory."""

    cluster: str
    settings: Aws

    @property
    def by_tag(self) -> list[dict[str, Any]]:
        """The filter for all that bears the cluster's tag."""
        return [{"Name": f"tag:{owner_tag(self.cluster)}", "Values": ["owned", "shared"]}]

    @property
    def unique(self) -> str:
        """The cluster's name in name spaces that it shares with others (roles, keys, groups)."""
        return f"romana-{self.cluster}"

    def owns(self, raw: Mapping[str, Any]) -> bool:
        """Whether we made it."""
        return tagged(raw, owner_tag(self.cluster)) == "owned"


Change = Callable[[Record, Found], tuple[Call, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object.

    Args:
        name: "subnet"; with the object's name it is a reference.
        find: all of the cluster's.
        create: the calls that make one, in an order in which every prefix can be continued.
        change: by field, the calls that bring it about.
        fixed: by field, why it cannot be changed and what to do.
        delete: the calls that remove one.
        permissions: of AWS, that the above need.
    """

    name: str
    find: Callable[[Api, Scope], tuple[Found, ...]]
    create: Callable[[Record, Scope], tuple[Call, ...]]
    delete: Callable[[Found], tuple[Call, ...]]
    change: Mapping[str, Change] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


def specification(scope: Scope, ref: Ref, *types: str) -> list[dict[str, Any]]:
    """TagSpecifications: an object has its tags from its first instant, or it could be lost."""
    return [{"ResourceType": each, "Tags": tags(scope.cluster, ref)} for each in types]


def moved(advice: str) -> str:
    """Why a field is fixed."""
    return f"it cannot be changed: {advice}"
