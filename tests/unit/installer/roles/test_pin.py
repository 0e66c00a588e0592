"""Versions that the inventory names, as apt reads them."""

import re
import subprocess

import pytest

from installer.roles.base import pin


@pytest.fixture(scope="module")
def tar():
    """The version of a package that is on every host that has apt."""
    wanted = ("dpkg-query", "-W", "-f", "${Version}", "tar")
    return subprocess.run(wanted, check=True, capture_output=True, text=True).stdout


def found(version):
    words = ("apt-get", "install", "-s", f"tar={pin(version)}")
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("revision", ["", "~ds1-1+b1", "-4+b4", "+really1.2-1"])
def test_one_with_a_revision_is_meant_to_the_letter_and_one_without_is_a_pattern(revision):
    pinned = pin(f"3.4.23{revision}")
    assert (pinned == f"3.4.23{revision}") == ("-" in revision)
    assert not pinned.endswith("*")


def test_apt_finds_what_is_there_and_nothing_else(tar):
    upstream = re.split("[-+~]", tar)[0]
    assert found(tar)
    assert found(upstream)
    assert not found("0.0.1")
    assert not found(upstream[:-1]), "1.3 stands for its own revisions, not for 1.34"
