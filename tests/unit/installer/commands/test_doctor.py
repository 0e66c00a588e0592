"""Preflight alone: which platform it is for, and what becomes of what is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from installer.cli import main
from installer.commands.doctor import amiss

HOSTS = """\
cluster: {name: nowhere}
network: {pods: 10.112.0.0/12, services: 10.96.0.0/16}
hosts: {alpha: {address: 127.0.0.1, port: 1}}
groups: {controller: [alpha], nodes: [alpha]}
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of its own, with nothing in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_hosts_that_cannot_be_reached_are_findings_and_nothing_is_left(
    tmp_path: Path, state: Path
) -> None:
    (tmp_path / "hosts.yml").write_text(HOSTS)
    done = CliRunner().invoke(main, ["doctor", "-i", str(tmp_path / "hosts.yml"), "--json"])
    events = [json.loads(line) for line in done.output.splitlines()]
    found = [event for event in events if event["event"] == "Finding"]
    assert done.exit_code == 1
    assert [event["where"] for event in found] == ["alpha"]
    assert "no SSH connection" in found[0]["what"]
    assert events[-1]["text"] == "one problem; 0 of 1 hosts looked at, nothing changed"
    assert not state.exists()


def test_people_are_told_in_lines(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(HOSTS)
    done = CliRunner().invoke(main, ["doctor", "-i", str(tmp_path / "hosts.yml")])
    assert done.exit_code == 1
    assert "alpha: (root@127.0.0.1:1): no SSH connection" in done.output.replace(
        "alpha: alpha ", "alpha: "
    )


def test_a_name_that_is_unknown_is_an_error() -> None:
    done = CliRunner().invoke(main, ["doctor", "-n", "nothing"])
    assert done.exit_code == 1
    assert "there is no cluster nothing" in done.output


def test_what_a_platform_would_change_is_amiss_and_what_it_would_make_is_not() -> None:
    """As the plan of AWS has it."""
    planned = (
        "create instance/node2: node, t3.medium\n--- (absent)\n+++ instance/node2",
        "change instance/node1: source_dest_check on -> off\n--- instance/node1\n"
        "+++ instance/node1\n-source_dest_check: on\n+source_dest_check: off",
        "make host node3 (10.0.1.12)",
    )
    assert amiss(planned) == (
        ("change instance/node1: source_dest_check on -> off",),
        ("create instance/node2: node, t3.medium", "make host node3 (10.0.1.12)"),
    )
