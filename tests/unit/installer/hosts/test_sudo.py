"""Becoming root: sudo asks, and gets a password, never a script."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from installer.errors import CommandFailed, InstallerError
from installer.resources.base import Payload

PASSWORD = "correct horse"
SUDO = """#!/bin/sh
# As sudo 1.9 does without a terminal; everything it reads as a password is written down.
quiet= prompt=
while :; do
  case $1 in
    -n) quiet=1; shift ;;
    -S) shift ;;
    -p) prompt=$2; shift 2 ;;
    *) break ;;
  esac
done
[ ! -e "$SUDO_STATE/free" ] || exec "$@"
[ ! -e "$SUDO_STATE/stranger" ] || { echo "sudo: admin is not in the sudoers file" >&2; exit 1; }
[ -z "$quiet" ] || { echo "sudo: a password is required" >&2; exit 1; }
for attempt in 1 2 3; do
  printf %s "$prompt" >&2
  IFS= read -r line || { echo "sudo: no password was provided" >&2; exit 1; }
  echo "$line" >>"$SUDO_STATE/read"
  [ "$line" != "correct horse" ] || { : >"$SUDO_STATE/asked"; exec "$@"; }
  echo "Sorry, try again." >&2
done
echo "sudo: 3 incorrect password attempts" >&2
exit 1
"""


@pytest.fixture
def sudo(reach: Any, tmp_path: Path) -> Path:
    """A directory that holds the server's sudo; a file `free` in it spares the password."""
    directory = tmp_path / "sudo"
    directory.mkdir()
    (directory / "sudo").write_text(SUDO)
    (directory / "sudo").chmod(0o755)
    path = f"{directory}:{os.environ['PATH']}"
    reach.server.environment = {**os.environ, "PATH": path, "SUDO_STATE": str(directory)}
    return directory


def words(directory: Path) -> list[str]:
    """What sudo has read as passwords."""
    read = directory / "read"
    return read.read_text().splitlines() if read.exists() else []


@pytest.mark.parametrize("named", [True, False], ids=["file", "typed"])
def test_a_password_is_given_when_sudo_asks(
    reach: Any, sudo: Path, tmp_path: Path, named: bool
) -> None:
    file = tmp_path / "password" if named else None
    connection = reach.connect(
        user="admin", sudo_password=lambda: PASSWORD, sudo_password_file=file
    )
    for number in range(2):
        output = connection.run(f"echo out{number}; echo err >&2; exit 3")
        assert (output.status, output.stdout, output.stderr) == (3, f"out{number}\n", "err\n")
    assert words(sudo) == [PASSWORD, PASSWORD]
    refusals = 0 if named else 1
    assert len(reach.server.commands) == 2 + refusals
    assert connection.round_trips == 3 + refusals
    assert all(PASSWORD not in command for command in reach.server.commands)


def test_files_and_lines_of_output_come_through(reach: Any, sudo: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    connection = reach.connect(
        user="admin", sudo_password=lambda: PASSWORD, sudo_password_file=tmp_path
    )
    payload = Payload(name="0/file", content=bytes(range(256)) * 4000)
    output = connection.run("wc -c <0/file; echo rest", files=(payload,), on_line=lines.append)
    assert output.stdout.split() == ["1024000", "rest"]
    assert lines == ["1024000", "rest"]


def test_a_password_that_is_not_wanted_is_not_sent(reach: Any, sudo: Path, tmp_path: Path) -> None:
    (sudo / "free").touch()
    connection = reach.connect(
        user="admin", sudo_password=lambda: PASSWORD, sudo_password_file=tmp_path
    )
    assert connection.run("cat /dev/stdin; echo end").stdout == "end\n"
    assert words(sudo) == []


def test_a_wrong_password_is_tried_once(reach: Any, sudo: Path, tmp_path: Path) -> None:
    connection = reach.connect(
        user="admin", sudo_password=lambda: "battery", sudo_password_file=tmp_path
    )
    with pytest.raises(CommandFailed, match="sudo does not take the password of admin") as caught:
        connection.run("echo never")
    assert words(sudo) == ["battery"]
    assert "battery" not in str(caught.value) + caught.value.advice


def test_a_user_who_may_not_is_told(reach: Any, sudo: Path, tmp_path: Path) -> None:
    (sudo / "stranger").touch()
    connection = reach.connect(
        user="admin", sudo_password=lambda: PASSWORD, sudo_password_file=tmp_path
    )
    with pytest.raises(CommandFailed, match="admin cannot become root: admin is not in the sudoer"):
        connection.run("echo never")
    assert words(sudo) == []


def test_without_a_password_at_hand_it_is_said_how_to_give_one(reach: Any, sudo: Path) -> None:
    with pytest.raises(CommandFailed, match="node1: sudo wants a password of admin") as caught:
        reach.connect(user="admin").run("true")
    assert "--ask-sudo-password" in caught.value.advice


def test_a_password_that_cannot_be_had_stops(reach: Any, sudo: Path) -> None:
    def fails() -> str:
        raise InstallerError("sudo's password: nowhere")

    with pytest.raises(InstallerError, match="nowhere"):
        reach.connect(user="admin", sudo_password=fails).run("true")


def test_others_known_hosts_count_after_the_clusters(
    reach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_key: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".ssh/known_hosts"
    own.parent.mkdir()
    own.write_text(f"198.18.0.11 {reach.server.host_key_line}\n")
    assert reach.connect(host_key="").run("echo hello").stdout == "hello\n"
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1mzyFVTCGZMyx8QPV4ZyXKZNwUhg2qNDlFVYxhGHzT"
    reach.known_hosts.write_text(f"198.18.0.11 {other}\n")
    with pytest.raises(InstallerError, match="is pinned"):
        reach.connect(host_key="")
