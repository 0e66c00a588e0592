"""Takes nodes out of service, and gives back those that we took.

What we did is remembered at the node itself, so that a run after one that was killed gives it back,
and what an operator had cordoned stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from installer.kubernetes import Api, ApiError

CORDONED = "romana.io/cordoned-by-installer"
"""The annotation of a node that we cordoned, in the same change."""
OUTDATED = "romana.io/outdated"
"""The taint that has pods prefer other nodes."""
_CONFLICT = 409
_ATTEMPTS = 10
JSON = Mapping[str, Any]
Decide = Callable[[JSON], "tuple[dict[str, Any] | None, bool]"]
"""Of a node as it is: the change to make, or None, and the answer."""


def path(name: str) -> str:
    """Where the API has a node."""
    return f"/api/v1/nodes/{name}"


def held(nodes: Sequence[JSON]) -> tuple[str, ...]:
    """Names of those nodes that bear traces of an installer's work: cordoned or tainted by it."""
    return tuple(
        str(node["metadata"]["name"])
        for node in nodes
        if emptied(node) or any(taint["key"] == OUTDATED for taint in _taints(node))
    )


async def cordon(api: Api, name: str) -> bool:
    """Has no more pods sent to a node.

    Returns:
        Whether it is ours to give back; False where somebody else had cordoned it.
    """
    return await _change(api, name, _cordoning)


async def uncordon(api: Api, name: str) -> bool:
    """Gives a node back, if it was us who cordoned it.

    Returns:
        Whether it takes pods again.
    """
    return await _change(api, name, _uncordoning)


async def soften(api: Api, name: str) -> None:
    """Has pods prefer other nodes, so that those evicted elsewhere are not evicted here again."""
    await _change(api, name, _tainting)


async def unsoften(api: Api, name: str) -> None:
    """Takes that back."""
    await _change(api, name, _untainting)


async def _change(api: Api, name: str, decide: Decide) -> bool:
    """Changes a node by what it is now; decided anew where somebody was faster."""
    for attempt in range(_ATTEMPTS):
        node = await api.get(path(name))
        change, answer = decide(node)
        if change is None:
            return answer
        version = {"resourceVersion": node["metadata"]["resourceVersion"]}
        change["metadata"] = {**change.get("metadata", {}), **version}
        try:
            await api.patch(path(name), change)
        except ApiError as error:
            if error.status != _CONFLICT or attempt == _ATTEMPTS - 1:
                raise
            continue
        return answer
    raise AssertionError("the last attempt returns or raises")


def _cordoning(node: JSON) -> tuple[dict[str, Any] | None, bool]:
    if node["spec"].get("unschedulable"):
        return None, emptied(node)
    ours = {"annotations": {CORDONED: "true"}}
    return {"metadata": ours, "spec": {"unschedulable": True}}, True


def _uncordoning(node: JSON) -> tuple[dict[str, Any] | None, bool]:
    if not emptied(node):
        return None, not node["spec"].get("unschedulable")
    gone = {"annotations": {CORDONED: None}}
    return {"metadata": gone, "spec": {"unschedulable": None}}, True


def _tainting(node: JSON) -> tuple[dict[str, Any] | None, bool]:
    taints = _taints(node)
    if any(taint["key"] == OUTDATED for taint in taints):
        return None, True
    return {"spec": {"taints": [*taints, {"key": OUTDATED, "effect": "PreferNoSchedule"}]}}, True


def _untainting(node: JSON) -> tuple[dict[str, Any] | None, bool]:
    taints = _taints(node)
    kept = [taint for taint in taints if taint["key"] != OUTDATED]
    return (None, True) if len(kept) == len(taints) else ({"spec": {"taints": kept or None}}, True)


def emptied(node: JSON) -> bool:
    """Whether it was an installer that has cordoned a node."""
    return CORDONED in (node["metadata"].get("annotations") or {})


def _taints(node: JSON) -> list[JSON]:
    return list(node["spec"].get("taints") or ())
