"""Which pods of a node have to go before it is worked on. Pure: what the API lists in, names out.

The rules are kubectl drain's
(https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/): pods of DaemonSets stay,
since they would be put back at once; mirrors of a kubelet's own pods cannot be evicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_MIRROR = "kubernetes.io/config.mirror"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as far as draining cares. `uid` tells it from its successor of the same name."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The pods of a node: to be evicted; staying; and those that nothing would start again
    elsewhere (`bare`), which nobody should lose by surprise."""

    evict: tuple[Pod, ...]
    stay: tuple[Pod, ...]
    bare: tuple[Pod, ...]


def select(listed: Mapping[str, Any]) -> Selection:
    """Sorts a PodList of one node's pods."""
    evict, stay, bare = [], [], []
    for item in listed["items"]:
        metadata = item["metadata"]
        pod = Pod(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
        owner = _controller(metadata.get("ownerReferences") or ())
        ended = (item.get("status") or {}).get("phase") in _ENDED
        if _MIRROR in (metadata.get("annotations") or {}) or (owner == "DaemonSet" and not ended):
            stay.append(pod)
        elif not owner and not ended and not metadata.get("deletionTimestamp"):
            bare.append(pod)
        else:
            evict.append(pod)
    return Selection(evict=tuple(evict), stay=tuple(stay), bare=tuple(bare))


def _controller(owners: Iterable[Mapping[str, Any]]) -> str:
    """The kind of the owner that would start the pod again; empty where there is none."""
    return next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")
