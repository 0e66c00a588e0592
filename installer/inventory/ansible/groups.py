"""Groups of an inventory of Ansible's: who is in them, and what is said of whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GROUPS = {
    "controller": ("controller", "kube_control_plane"),
    "nodes": ("nodes", "kube_node"),
}
"""Our groups, and the names they may have there: ours, or Kubespray's."""


def malformed(data: Mapping[str, Any]) -> Iterator[str]:
    """Groups that are none."""
    for name, held in data.items():
        if name != "_meta" and not isinstance(held, dict | list):
            yield name


def members(data: Mapping[str, Any], group: str) -> tuple[str, ...]:
    """The hosts of a group of ours, its children's included, each once.

    Args:
        data: all groups.
        group: our name.
    """
    waiting = [each for each in GROUPS[group] if each in data][:1]
    seen: set[str] = set()
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop(0)
        if name not in seen and name in data:
            seen.add(name)
            found.update(dict.fromkeys(_hosts(data[name])))
            waiting += _children(data[name])
    return tuple(found)


def variables(data: Mapping[str, Any], host: str, own: Mapping[str, Any]) -> Mapping[str, Any]:
    """A host's variables: its own over those of its groups, children's over parents', and all of
    them over those of `all`."""
    merged: dict[str, Any] = {}
    for name in _upwards(data, host):
        merged = {**_variables(data[name]), **merged}
    return {**_variables(data.get("all")), **merged, **own}


def _upwards(data: Mapping[str, Any], host: str) -> Iterator[str]:
    """Groups that a host is in, nearest first."""
    level = [name for name in data if name != "_meta" and host in _hosts(data[name])]
    seen: set[str] = {"all"}
    while level:
        fresh = [name for name in level if name not in seen]
        yield from fresh
        seen.update(fresh)
        level = [
            name
            for name in data
            if name not in seen and set(fresh).intersection(_children(data[name]))
        ]


def _hosts(group: Any) -> list[str]:
    held = group if isinstance(group, list) else _part(group, "hosts", [])
    return [str(each) for each in held]


def _children(group: Any) -> list[str]:
    return [str(each) for each in _part(group, "children", [])]


def _variables(group: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _part(group, "vars", {})
    return found


def _part(group: Any, key: str, default: Any) -> Any:
    return (group.get(key) or default) if isinstance(group, dict) else default
