"""Makes the strategies of this directory importable for all tests, and knows which tests that
execute the documentation's commands have not passed."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "objects_by_chance", Path(__file__).parent / "objects_by_chance.py"
)
sys.modules["objects_by_chance"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

KINDS = {Path(__file__).parent / kind for kind in ("unit", "conformance", "cluster")}
LAST = Path(__file__).parent / "cluster/test_documentation.py"
_not_passed: dict[str, set[str]] = {}
"""By page, the tests marked to execute its commands that have not passed, or not yet."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What was executed is judged after everything."""
    items.sort(key=lambda item: item.path == LAST)
    for item in items:
        for mark in item.iter_markers("documented"):
            _not_passed.setdefault(mark.args[0], set()).add(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that has passed is no reason for a command that was not executed."""
    report = yield
    if report.when == "call" and report.passed:
        for mark in item.iter_markers("documented"):
            _not_passed[mark.args[0]].discard(item.nodeid)
    return report


@pytest.fixture
def tests_not_passed(request: pytest.FixtureRequest) -> dict[str, set[str]]:
    """By page of the documentation, the tests of its commands that did not pass."""
    named = {Path(str(request.config.invocation_params.dir), arg) for arg in request.config.args}
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if not named >= KINDS or (reporter and reporter.stats.get("deselected")):
        pytest.skip("only a run of all tests can tell")
    return _not_passed
