"""Which C library programs need: as readelf reads it, on what this machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from installer.artifacts.elf import glibc_needed

PROGRAMS = [path for name in ("dash", "tar", "git", "ssh") if (path := shutil.which(name))]


def by_readelf(path: str) -> tuple[int, int] | None:
    said = subprocess.run(["readelf", "-V", path], capture_output=True, text=True).stdout
    needs = said.partition(".gnu.version_r")[2]
    found = [(int(a), int(b)) for a, b in re.findall(r"GLIBC_(\d+)\.(\d+)", needs)]
    return max(found, default=None)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils are not here")
@pytest.mark.parametrize("path", PROGRAMS)
def test_the_same_as_readelf(path: str) -> None:
    assert by_readelf(path) is not None
    assert glibc_needed(Path(path)) == by_readelf(path)


def test_static_programs_need_none() -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox-static is not here")
    assert glibc_needed(Path(busybox)) is None


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01", b"\x7fELF\x02\x01" * 4])
def test_what_is_no_program_needs_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "script"
    path.write_bytes(content)
    assert glibc_needed(path) is None
