"""Where policies are kept: a directory that agents watch, or the Kubernetes API."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from romana.authoring.drafts import POLICY_KINDS, Draft
from romana.objects import Key
from romana.sources.errors import SourceError
from romana.sources.kinds import ROMANA_POLICY, Kind
from romana.sources.romana_policies import NAME


class Outcome(str, Enum):
    """What became of a policy."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class Place(Protocol):
    """Where policies are kept."""

    @property
    def title(self) -> str:
        """For the operator."""

    def add(self, draft: Draft) -> Outcome:
        """Keep a policy, in place of the one of the same name. Raises SourceError."""

    def remove(self, name: str) -> Outcome:
        """Forget a policy. Raises SourceError."""


def meant(name: str) -> tuple[tuple[Kind, ...], Key]:
    """The kinds and the key of an object by what an operator calls it: `NAME` of a RomanaPolicy,
    `NAMESPACE/NAME` of a NetworkPolicy, or as `romana policy list` shows them.

    Raises:
        SourceError: it cannot be a name, such as one with dots that lead elsewhere.
    """
    shown = name.removesuffix(".ingress").removesuffix(".egress")
    if shown != name and name.startswith("romana."):
        return (ROMANA_POLICY,), ("", shown.removeprefix("romana."))
    if shown != name and name.startswith("kube."):
        name = shown.removeprefix("kube.").replace(".", "/", 1)
    namespace, _, own = name.rpartition("/")
    if not NAME.fullmatch(own) or not NAME.fullmatch(namespace or "none"):
        raise SourceError(f"`{name}` is no policy's name; write NAME or NAMESPACE/NAME")
    kinds = tuple(each for each in POLICY_KINDS if each.namespaced is bool(namespace))
    return kinds, (namespace, own)
