"""A host with Ubuntu 14.04 as a directory, and its init."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import old_payload
import pytest
from old_machine import Machine
from old_root import ChrootSession, OldRoot
from upstart_init import Upstart

from installer.artifacts.catalogue import Artifacts


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = OldRoot(tmp_path / "root")
    made = Machine(root, Upstart(root.root), ChrootSession("c1", root))
    yield made
    made.init.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """What is laid down: sleepers by the right names, packed as the real ones are."""
    return old_payload.artifacts(tmp_path)
