"""A fake host with the programs that resources call."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.hosts.fake import FakeHost

PROGRAMS = Path(__file__).parent / "host_programs"


def make_host(root: Path, name: str = "node1") -> FakeHost:
    host = FakeHost(name, root)
    for program in PROGRAMS.iterdir():
        shutil.copy(program, root / "bin" / program.name)
    return host


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """One host below the test's own directory."""
    return make_host(tmp_path / "node1")


@pytest.fixture
def new_host(tmp_path: Path) -> Callable[[str], FakeHost]:
    """Makes hosts by name."""
    return lambda name: make_host(tmp_path / name, name)
