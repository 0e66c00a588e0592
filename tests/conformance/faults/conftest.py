"""A stage for each test, in the setting that it asks for."""

import importlib.util
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for _name in ("links", "dataplanes", "stage"):  # each after those that it imports
    _spec = importlib.util.spec_from_file_location(_name, HERE / f"{_name}.py")
    sys.modules[_name] = _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)

from dataplanes import DEFAULT, SETTINGS  # noqa: E402 - made importable above
from stage import staged_at  # noqa: E402


def pytest_collection_modifyitems(items):
    """In each module, all tests of one setting first, so that they share a stage."""
    settings = list(SETTINGS)

    def place(item):
        asked = getattr(item, "callspec", None)
        return settings.index(asked.params.get("stage", DEFAULT) if asked else DEFAULT)

    modules = {item.path: [] for item in items if item.path.parent == HERE}
    for item in items:
        if item.path in modules:
            modules[item.path].append(item)
    places = [number for number, item in enumerate(items) if item.path in modules]
    ordered = [item for tests in modules.values() for item in sorted(tests, key=place)]
    for number, item in zip(places, ordered, strict=True):
        items[number] = item


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """The stage of a setting, which lives until one of another is asked for."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    with ExitStack() as stack:
        made = {}

        def at(setting):
            if setting not in made:
                stack.close()
                made.clear()
                backend, family = SETTINGS[setting]
                work = tmp_path_factory.mktemp("stage")
                stage = staged_at(work, seed=7, backend=backend, family=family)
                made[setting] = stack.enter_context(stage)
            return made[setting]

        yield at


@pytest.fixture
def stage(request, stages):
    """Of the setting that the test is parametrised with."""
    return stages(getattr(request, "param", DEFAULT))


@pytest.fixture(scope="session")
def staged():
    """Makes a stage of its own, for as long as the block."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    return staged_at
