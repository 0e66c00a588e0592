"""A YAML document whose every value knows its line and its key path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import yaml
from yaml.constructor import SafeConstructor

from installer.errors import Problem

Scalar = None | bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A value. `where` is `file:line` or `--set KEY`; `path` is the keys that lead to it:
    "network.pods"."""

    where: str
    path: str
    value: Scalar | tuple[Entry, ...] | Mapping[str, Entry]

    def problem(self, what: str, advice: str = "") -> Problem:
        """A finding about this value."""
        return Problem(
            where=self.where, what=f"{self.path}: {what}" if self.path else what, advice=advice
        )


def parse(text: str, file: str) -> tuple[Entry | None, tuple[Problem, ...]]:
    """The document, and what is wrong with its form: a syntax error (then there is no document) or
    repeated keys."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return None, (Problem(where=f"{file}:{line}", what=f"not YAML: {error.problem}"),)
    if node is None:
        return Entry(where=f"{file}:1", path="", value={}), ()
    problems: list[Problem] = []
    return _entry(node, file, "", problems), tuple(problems)


def _entry(node: yaml.Node, file: str, path: str, problems: list[Problem]) -> Entry:
    where = f"{file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        return Entry(where=where, path=path, value=_mapping(node, file, path, problems))
    if isinstance(node, yaml.SequenceNode):
        items = tuple(
            _entry(item, file, f"{path}[{index}]", problems)
            for index, item in enumerate(node.value)
        )
        return Entry(where=where, path=path, value=items)
    return Entry(where=where, path=path, value=_scalar(node))


def _mapping(
    node: yaml.MappingNode, file: str, path: str, problems: list[Problem]
) -> Mapping[str, Entry]:
    found: dict[str, Entry] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        below = f"{path}.{key}" if path else key
        entry = _entry(value_node, file, below, problems)
        # An empty value is reported where its key stands, not on the line after it.
        entry = replace(entry, where=f"{file}:{key_node.start_mark.line + 1}")
        if key in found:
            problems.append(entry.problem(f"given twice, first at {found[key].where}"))
        found[key] = entry
    return found


def _scalar(node: yaml.Node) -> Scalar:
    value = SafeConstructor().construct_object(node)
    return value if isinstance(value, bool | int | float | str | None) else str(node.value)


def override(document: Entry, settings: Iterable[str]) -> tuple[Entry, tuple[Problem, ...]]:
    """The document with `KEY=VALUE` settings laid over it.

    Args:
        document: the inventory.
        settings: "network.pods=10.0.0.0/12"; the value is YAML.
    """
    problems: list[Problem] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        where = f"--set {key}"
        value, wrong = parse(text or "null", where)
        problems.extend(Problem(where=where, what=item.what) for item in wrong)
        if not equals or not all(key.split(".")):
            problems.append(Problem(where=f"--set {setting}", what="should be KEY=VALUE"))
        elif value is not None:
            document = _laid(document, key.split("."), _moved(value, where, key))
    return document, tuple(problems)


def underlay(document: Entry, defaults: Iterable[str]) -> Entry:
    """The document with `KEY=VALUE` settings where it says nothing itself.

    Args:
        document: the inventory, overrides included.
        defaults: as for `override`, and sound.
    """
    silent = [item for item in defaults if _at(document, item.partition("=")[0]) is None]
    return override(document, silent)[0]


def _at(document: Entry, path: str) -> Entry | None:
    found: Entry | None = document
    for key in path.split("."):
        found = found.value.get(key) if found and isinstance(found.value, Mapping) else None
    return found


def _laid(entry: Entry, keys: list[str], value: Entry) -> Entry:
    if not keys:
        return value
    children = dict(entry.value) if isinstance(entry.value, Mapping) else {}
    path = f"{entry.path}.{keys[0]}" if entry.path else keys[0]
    below = children.get(keys[0], Entry(where=value.where, path=path, value={}))
    return replace(entry, value=children | {keys[0]: _laid(below, keys[1:], value)})


def _moved(entry: Entry, where: str, path: str) -> Entry:
    """The value of a setting, as if it stood at the setting's path."""
    value = entry.value
    if isinstance(value, Mapping):
        value = {key: _moved(item, where, f"{path}.{key}") for key, item in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_moved(item, where, f"{path}[{n}]") for n, item in enumerate(value))
    return replace(entry, where=where, path=path, value=value)
