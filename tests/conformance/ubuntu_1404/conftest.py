"""A host with Ubuntu 14.04 as a directory, and its init."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from old_machine import Machine
from old_root import ChrootSession, OldRoot
from upstart_init import Upstart


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = OldRoot(tmp_path / "root")
    made = Machine(root, Upstart(root.root), ChrootSession("c1", root))
    yield made
    made.init.close()
