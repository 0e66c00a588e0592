"""What the sandbox says when this machine lacks something."""

import os

import pytest

from installer.errors import PlatformError
from installer.platforms.sandbox import preconditions


def test_missing_programs_are_named_by_their_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preconditions.lacking().packages == (
        "apt-utils",
        "debootstrap",
        "iproute2",
        "systemd-container",
        "util-linux",
    )


def test_without_root_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PlatformError, match="needs root.*run it with sudo") as raised:
        preconditions.require_able()
    assert "\n" not in raised.value.message
