"""The command, as far as it goes without root."""

import os

from click.testing import CliRunner

from romana.cli import main


def test_who_is_not_root_is_told_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = CliRunner().invoke(main, ["bench", "policies", f"--out={tmp_path / 'out'}"])
    assert done.exit_code == 1
    assert done.stderr == "romana bench: only root can make hosts and pods: try sudo\n"
    assert not (tmp_path / "out").exists()


def test_too_few_requests_are_refused():
    done = CliRunner().invoke(main, ["bench", "policies", "--requests=1"])
    assert done.exit_code == 2
    assert "--requests" in done.stderr
