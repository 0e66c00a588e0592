"""Scripts and files over a real SSH connection, and what is said when there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from installer.cluster import SSH, Host
from installer.errors import CommandFailed, InstallerError, Unreachable
from installer.hosts.connection import connect
from installer.resources.base import Payload


def test_a_script_runs_with_its_output_and_status(reach: Any) -> None:
    connection = reach.connect()
    output = connection.run("echo out; echo err >&2; exit 3")
    assert (output.status, output.stdout, output.stderr) == (3, "out\n", "err\n")
    assert connection.round_trips == 2


@pytest.mark.parametrize("length", [10, 200_000])
def test_scripts_of_any_length_and_with_any_character_run(reach: Any, length: int) -> None:
    text = "é'\"$`\\x " * (length // 9)
    quoted = text.replace("'", "'\\''")
    assert reach.connect().run(f"printf %s '{quoted}'").stdout == text


def test_files_travel_with_the_script_in_one_round_trip_and_leave_nothing(
    reach: Any, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 20_000)
    sent: list[tuple[int, int]] = []
    connection = reach.connect()
    output = connection.run(
        "pwd; cat 0/small; sha256sum <1/large; ls -l 0/small | cut -c1-10",
        files=(Payload(name="0/small", content=b"tiny\n"), Payload(name="1/large", source=large)),
        on_sent=lambda done, total: sent.append((done, total)),
    )
    where, *rest = output.stdout.split()
    assert rest == [
        "tiny",
        hashlib.sha256(large.read_bytes()).hexdigest(),
        "-",
        "-rw-------",
    ]
    assert not Path(where).exists()
    assert sent[-1][0] == sent[-1][1]
    assert connection.round_trips == 2


def test_a_script_that_breaks_off_half_way_does_not_run(reach: Any) -> None:
    connection = reach.connect()
    whole = connection.run("echo one\necho two")
    assert whole.stdout == "one\ntwo\n"
    unfinished = connection.run("echo one\necho 'two")
    assert unfinished.status != 0
    assert unfinished.stdout == ""


def test_lines_are_told_as_they_come(reach: Any) -> None:
    lines: list[str] = []
    reach.connect().run("printf 'a\\nb\\nrest'", on_line=lines.append)
    assert lines == ["a", "b"]


def test_a_command_that_does_not_end_is_given_up(reach: Any) -> None:
    with pytest.raises(CommandFailed, match=r"node1: a command did not end within 0 s"):
        reach.connect().run("sleep 1", timeout_s=0.3)


def test_a_connection_that_breaks_is_unreachable(reach: Any) -> None:
    connection = reach.connect()
    reach.server.cut_before_reply = True
    with pytest.raises(Unreachable, match="node1: the connection was lost"):
        connection.run("echo never", timeout_s=5)
    with pytest.raises(Unreachable):
        connection.run("echo again", timeout_s=5)


def test_other_users_become_root_by_sudo(reach: Any) -> None:
    reach.connect(user="admin").run("true")
    assert reach.server.commands[0].startswith("exec env LC_ALL=C sudo -n sh -c ")


def test_the_clusters_known_hosts_pin_a_key(reach: Any) -> None:
    reach.known_hosts.write_text(f"198.18.0.11 {reach.server.host_key_line}\n")
    assert reach.connect(host_key="").run("echo hello").stdout == "hello\n"


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_the_line_to_add(
    reach: Any,
) -> None:
    with pytest.raises(Unreachable) as caught:
        reach.connect(host_key="")
    assert "nobody vouches for the host key it shows, ssh-ed25519 SHA256:" in caught.value.message
    assert reach.server.host_key_line in caught.value.advice


def test_another_host_key_than_the_pinned_one_is_refused(reach: Any) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1mzyFVTCGZMyx8QPV4ZyXKZNwUhg2qNDlFVYxhGHzT"
    with pytest.raises(Unreachable, match=r"shows the host key .* is pinned"):
        reach.connect(host_key=other)


def test_a_host_key_that_is_none_is_an_error_of_the_inventory(reach: Any) -> None:
    with pytest.raises(InstallerError, match="node1: host_key is not an OpenSSH public key"):
        reach.connect(host_key="rubbish")


def test_a_wrong_user_key_is_named(reach: Any, new_key: Callable[[str], Path]) -> None:
    wrong = new_key("wrong")
    with pytest.raises(Unreachable, match=f"refuses {wrong}"):
        reach.connect(key=wrong)


def test_a_missing_user_key_is_named(reach: Any, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="the key to log in with is missing"):
        reach.connect(key=tmp_path / "nowhere")


def test_a_port_without_a_listener_is_one_line(tmp_path: Path) -> None:
    host = Host(name="node9", address=IPv4Address("127.0.0.1"), groups=("nodes",), ssh=SSH(port=1))
    with pytest.raises(Unreachable) as caught:
        connect(host, tmp_path / "known_hosts", timeout_s=2)
    assert caught.value.message.startswith("node9 (root@127.0.0.1:1): no SSH connection: ")
    assert "\n" not in caught.value.message
