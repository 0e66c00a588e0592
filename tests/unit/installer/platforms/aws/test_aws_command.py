"""`romana-install aws` as it is typed: what it shows, that it asks, and what needs no state."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from installer.cli import main
from installer.platforms.aws import Aws

INVENTORY = Path(__file__).parents[5] / "inventories/aws.yml"


@pytest.fixture
def run(cloud, aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Types a command, in an account whose hosts do not answer SSH."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("installer.platforms._PLATFORMS", {"aws": aws})
    source = ("--set", "aws.ssh_from=[192.0.2.7/32]")

    def typed(*words: str, **more: str) -> Result:
        return CliRunner().invoke(main, [*words, *(source if words[0] == "aws" else ())], **more)

    return typed


def test_check_shows_objects_hosts_and_cost_in_one_listing(cloud, run) -> None:
    result = run("aws", "--check")
    assert result.exit_code == 2, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    listing = [line.removeprefix("aws").strip() for line in lines if "would" in line]
    assert listing[0] == "would create vpc: 10.0.0.0/16"
    assert "would create route 10.116.0.0/14: interface node1" in listing
    assert listing[-3].startswith("would pay about $0.17 an hour, $122 a month")
    assert listing[-2].startswith("would install on controller: base, pki, runtime, images, etcd")
    assert listing[-1].startswith("would install on node1, node2: base, pki, runtime, images, net")
    assert cloud.changes == 0


def test_diffs_show_every_field(cloud, run) -> None:
    result = run("aws", "--check", "--diff")
    assert "+source_dest_check: off" in result.output
    assert "+++ subnet eu-central-1b" in result.output
    without = run("aws", "--check")
    assert "+source_dest_check" not in without.output


def test_it_asks_and_without_a_terminal_needs_yes(cloud, run, tmp_path: Path) -> None:
    result = run("aws")
    assert result.exit_code == 2, result.output
    assert "Make these changes in aws? There is no terminal to ask on: give --yes" in result.output
    assert "nothing was changed" in result.output
    assert cloud.changes == 0


def test_a_refused_permission_is_one_line(cloud, run) -> None:
    cloud.denied = {"ec2:DescribeVpcs"}
    result = run("aws", "--check")
    assert result.exit_code == 1
    assert "error: aws: ec2:DescribeVpcs is not permitted to arn:aws:iam::" in result.output
    assert "Traceback" not in result.output


def test_what_a_killed_run_left_is_destroyed_without_its_state(cloud, run, aws, cluster) -> None:
    aws().provision(cluster(), lambda event: None)
    result = run("destroy", "-i", str(INVENTORY), "--yes")
    assert result.exit_code == 0, result.output
    assert "objects of aws removed, none is left" in result.output
    assert not [vpc for vpc in cloud.backend.vpcs.values() if not vpc.is_default]


def test_the_platform_is_imported_only_where_it_is_used() -> None:
    import subprocess
    import sys

    code = "import sys, installer.cli, installer.commands.converge; print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert Aws.__module__ == "installer.platforms.aws.platform"


def test_the_doctor_tells_of_a_check_that_is_on(
    cloud, run, aws, cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the platform alone: the instances of this account have no address that can be reached."""
    aws().provision(cluster(), lambda event: None)
    directory = cluster().state.parent
    monkeypatch.setattr("installer.commands.clusters.clusters_directory", lambda: directory)
    for reservation in cloud.backend.reservations.values():
        for instance in reservation.instances:
            instance.source_dest_check = True
    monkeypatch.setattr("installer.commands.doctor.connected", lambda *_: nullcontext({}))
    changes = cloud.changes
    result = run("doctor", "-i", str(INVENTORY), "--json", "--set", "aws.ssh_from=[192.0.2.7/32]")
    events = [json.loads(line) for line in result.output.splitlines()]
    found = [event for event in events if event["event"] == "Finding"]
    assert result.exit_code == 1, result.output
    assert sorted(event["what"] for event in found) == [
        f"would change instance {name}: source_dest_check on -> off"
        for name in ("controller", "node1", "node2")
    ]
    assert found[0]["advice"] == "romana-install aws sets it right"
    assert cloud.changes == changes
