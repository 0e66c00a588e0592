"""`romana-install vagrant` and the commands for clusters of Vagrant's, with a stand-in for it."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from installer import platforms
from installer.cli import main
from installer.platforms.vagrant.platform import Vagrant

STAND_IN = Path(__file__).parents[1] / "platforms/vagrant/vagrant"


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(STAND_IN, tmp_path / "bin/vagrant")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_VAGRANT", str(tmp_path))
    monkeypatch.setenv("VAGRANT_DOTFILE_PATH", str(tmp_path / "dotfiles"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Nothing listens there, and it is this machine itself that says so; it is not waited for.
    monkeypatch.setenv("ROMANA_NETWORK", "127.86.0.0/24")
    monkeypatch.setitem(platforms._PLATFORMS, "vagrant", partial(Vagrant, wait_s=0))


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_check_says_what_would_be_made_and_makes_nothing(tmp_path: Path) -> None:
    result = run("vagrant", "--check", "-c", "1")
    assert result.exit_code == 2
    assert "would make machine controller (127.86.0.10)" in result.output
    assert "would make machine node1 (127.86.0.11)" in result.output
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "dotfiles").exists()


def test_a_run_that_cannot_go_on_can_be_destroyed(tmp_path: Path) -> None:
    result = run("vagrant", "-c", "0", "--yes")
    assert result.exit_code == 1
    assert "no controller of vagrant-sandbox can be reached" in result.output
    assert (tmp_path / "dotfiles/machines/sandbox/virtualbox/id").exists()
    # The number of nodes, and what the settings said, are kept with the cluster.
    again = run("ssh", "nod1")
    assert "cluster vagrant-sandbox has no host nod1" in again.output
    destroyed = run("destroy", "--yes")
    assert destroyed.exit_code == 0, destroyed.output
    assert not (tmp_path / "dotfiles/machines/sandbox/virtualbox/id").exists()
    assert not (tmp_path / "state/romana/clusters/vagrant-sandbox").exists()


def test_what_vagrant_refuses_is_one_error_with_what_to_do(tmp_path: Path) -> None:
    said = (STAND_IN.parent / "said/virtualbox missing, to a program.txt").read_text()
    (tmp_path / "fails.json").write_text(json.dumps({"status": said}))
    result = run("vagrant", "--yes")
    assert result.exit_code == 1
    assert "error: vagrant status: the provider virtualbox cannot be used here" in result.output
    assert "VAGRANT_DEFAULT_PROVIDER" in result.output
    assert "Traceback" not in result.output


def test_without_vagrant_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = run("vagrant", "--check")
    assert result.exit_code == 1
    assert "error: Vagrant is not installed\n" in result.output
