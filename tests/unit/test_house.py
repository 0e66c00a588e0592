"""Walls of the house: imports run one way, and the two programs are apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FROM_ROMANA = {"romana", "romana.version", "romana.lab"}
"""All that the installer may take from the network that it installs."""


def imports() -> dict[str, set[str]]:
    """What each part (the second name of a module's path) imports of the others."""
    found: dict[str, set[str]] = {}
    for path in (*ROOT.glob("installer/**/*.py"), *ROOT.glob("romana/**/*.py")):
        part = _part(".".join(path.relative_to(ROOT).with_suffix("").parts))
        names = {_part(name) for name in _names(ast.parse(path.read_text()))}
        found.setdefault(part, set()).update(names - {part})
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module in ("installer", "romana")
            found = [f"{node.module}.{alias.name}" for alias in node.names] if whole else []
            found += [] if whole else [node.module]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] in ("installer", "romana"))


def _part(name: str) -> str:
    return ".".join(name.split(".")[:2]).removesuffix(".__init__").removesuffix(".__file__")


def test_imports_run_one_way() -> None:
    tuple(TopologicalSorter(imports()).static_order())


def test_the_network_does_not_know_its_installer() -> None:
    wrong = {
        part: names
        for part, names in imports().items()
        if part.startswith("romana") and any(name.startswith("installer") for name in names)
    }
    assert wrong == {}


def test_the_installer_takes_of_the_network_its_version_and_its_lab() -> None:
    taken = {
        name
        for part, names in imports().items()
        if part.startswith("installer")
        for name in names
        if name.startswith("romana")
    }
    assert taken <= FROM_ROMANA


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("romana.policy", {"romana.objects"}),
        ("installer.resources", set()),
        ("installer.inventory", {"installer.cluster", "installer.errors"}),
        ("installer.observers", {"installer.events"}),
    ],
)
def test_what_is_pure_knows_little(part: str, allowed: set[str]) -> None:
    assert imports()[part] <= allowed
