"""Every command of these pages has been executed by a test. Run after all other tests, and judged
only where all of them were run; how tests tell is in `tests/documentation/documented.py`."""

import pytest
from documented import Page

PAGES = (
    "aws.md",
    "bare-metal.md",
    "operations.md",
    "sandbox.md",
    "ubuntu-14.04.md",
    "vagrant.md",
)


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_has_been_executed(name, tests_not_passed):
    left = Page(name).left()
    if left and tests_not_passed.get(name):
        pytest.skip(f"its own tests did not all pass: {sorted(tests_not_passed[name])}")
    assert left == []
