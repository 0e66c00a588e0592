"""The Romana release: the same tree gives the same archive, another tree another version, and it
runs."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from installer.artifacts import romana_release
from installer.artifacts.romana_release import build_release, start_script

MAIN = """
import sys
from dependency import ANSWER

def main():
    print(ANSWER, *sys.argv[1:], sys.flags.isolated)
"""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small `romana` with its dependencies at hand, so that nothing is fetched."""
    requirements = tmp_path / "agent.txt"
    requirements.write_text("dependency==1\n")
    monkeypatch.setattr(romana_release, "REQUIREMENTS", requirements)
    libraries = tmp_path / "libraries"
    (libraries / "dependency").mkdir(parents=True)
    (libraries / "dependency" / "__init__.py").write_text("ANSWER = 42\n")
    (libraries / "bin").mkdir()
    (libraries / "bin" / "tool").write_text("#!/this/machine/python\n")
    monkeypatch.setattr(romana_release, "_dependencies", lambda *args: libraries)
    source = tmp_path / "romana"
    for folder in ("", "agent", "cni"):
        (source / folder).mkdir(exist_ok=True)
        (source / folder / "__init__.py").write_text("")
    for module in ("cli", "agent/daemon", "cni/plugin"):
        (source / f"{module}.py").write_text(MAIN)
    return source


def build(tmp_path: Path, source: Path, folder: str) -> romana_release.Resolved:
    return build_release(PYTHON, "amd64", tmp_path / folder, lambda event: None, source)


def test_same_tree_same_bytes_other_tree_other_version(tmp_path: Path, package: Path) -> None:
    first = build(tmp_path, package, "a")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_bytes(b"x")
    os.utime(package / "cli.py", (1, 1))
    second = build(tmp_path, package, "b")
    assert (first.version, first.sha256) == (second.version, second.sha256)
    assert first.path.read_bytes() == second.path.read_bytes()
    (package / "cli.py").write_text("changed = True\n")
    assert build(tmp_path, package, "a").version != first.version
    other = build_release("3.10", "amd64", tmp_path / "a", lambda event: None, package)
    assert other.version != build(tmp_path, package, "a").version


def test_unpacked_release_runs_isolated_from_the_host(tmp_path: Path, package: Path) -> None:
    release = build(tmp_path, package, "cache")
    place = tmp_path / "opt"
    with tarfile.open(release.path) as archive:
        names = archive.getnames()
        assert all(member.uid == 0 and member.mode in (0o644, 0o755) for member in archive)
        archive.extractall(place, filter="data")
    assert "lib/bin/tool" not in names
    assert not any("__pycache__" in name for name in names)
    link = tmp_path / "plugin"
    link.symlink_to(place / "bin" / "romana-cni")
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": "/none"}
    for program in (link, place / "bin" / "romana", place / "bin" / "romana-agent"):
        done = subprocess.run(
            [program, "a b", "--c"], capture_output=True, text=True, env=environment
        )
        assert done.stdout == "42 a b --c 1\n", done.stderr


def test_start_script_is_dash_and_python() -> None:
    text = start_script("romana.cli", "3.11")
    assert text.startswith("#!/bin/sh\n")
    compile(text, "script", "exec")
    subprocess.run(["sh", "-n"], input=text.split("\n")[1], text=True, check=True)
