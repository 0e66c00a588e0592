"""Snapshots that controllers keep: what schedules them on each init system, and what the script
does with an etcdctl that is no etcdctl."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from installer import backup, pki
from installer.cluster import Snapshots
from installer.errors import InstallerError
from installer.resources import File
from installer.roles.role import Target
from installer.roles.snapshots import crontab, snapshots

Targets = Callable[..., Target]
SPANS = [1, 7, 29, 45, 59, 60, 90, 6 * 60, 11 * 60, 23 * 60, 24 * 60, 7 * 24 * 60]


def seldom(target: Target, every_s: int) -> Target:
    return replace(target, cluster=replace(target.cluster, snapshots=Snapshots(every_s=every_s)))


def ids(target: Target) -> list[str]:
    return [resource.id for resource in snapshots(target)]


def test_a_timer_where_there_is_systemd_cron_elsewhere_and_nothing_for_never(
    target: Targets,
) -> None:
    assert "file:/etc/systemd/system/romana-snapshot.timer" in ids(target("c1"))
    assert "file:/etc/cron.d/romana-snapshot" in ids(target("c1", init="upstart"))
    assert ids(seldom(target("c1"), 0)) == [
        "condition:no snapshots are scheduled",
        "absent:/etc/systemd/system/romana-snapshot.timer",
    ]
    assert ids(seldom(target("c1", init="upstart"), 0)) == ["absent:/etc/cron.d/romana-snapshot"]


@pytest.mark.parametrize("minutes", SPANS)
def test_cron_acts_at_least_as_often_as_wanted_within_a_day(minutes: int) -> None:
    minute, hour, *rest = crontab(minutes * 60).split()
    assert rest == ["*", "*", "*"]
    step = int(minute.removeprefix("*/")) if hour == "*" else 60 * _hours(hour)
    assert step <= max(1, minutes)
    assert 24 * 60 % step == 0


def _hours(field: str) -> int:
    return int(field.removeprefix("*/")) if field.startswith("*/") else 24


BODY = os.urandom(4096)
ETCDCTL = """#!/bin/sh
case "$*" in
*"snapshot save"*) cat {content} >etcd.db ;;
*"snapshot status"*) echo '{{"hash":1,"revision":4711,"totalKey":321,"totalSize":4096}}' ;;
esac
"""


@pytest.fixture
def taking(target: Targets, tmp_path: Path) -> Callable[[bytes], subprocess.CompletedProcess[str]]:
    """Runs the script with this directory in the place of the host's, and etcd that gives this
    snapshot."""
    wanted = target("c1")
    keys = tmp_path / "pki"
    for name in pki.ADOPTABLE:
        (keys / name).parent.mkdir(parents=True, exist_ok=True)
        (keys / name).write_bytes((wanted.cluster.state / "pki" / name).read_bytes())
    key = wanted.credentials.encryption_key
    (tmp_path / "encryption.yaml").write_text(f"      keys: [{{name: a, secret: {key}}}]\n")
    (script,) = (
        each
        for each in snapshots(seldom(wanted, 3600))
        if isinstance(each, File) and each.path.endswith("sbin/romana-snapshot")
    )
    text = script.data.decode()
    for old, new in (
        ("/var/lib/romana/snapshots", tmp_path / "store"),
        ("/etc/kubernetes/pki", keys),
        ("/etc/kubernetes/encryption.yaml", tmp_path / "encryption.yaml"),
        ("PATH=", f"PATH={tmp_path}:"),
    ):
        text = text.replace(old, str(new))
    (tmp_path / "run").write_text(text)

    def take(content: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "content").write_bytes(content)
        (tmp_path / "etcdctl").write_text(ETCDCTL.format(content=tmp_path / "content"))
        (tmp_path / "etcdctl").chmod(0o755)
        return subprocess.run(["sh", tmp_path / "run"], capture_output=True, text=True)

    return take


def test_what_the_script_keeps_is_a_backup_with_the_clusters_secrets(
    taking: Callable[[bytes], subprocess.CompletedProcess[str]], target: Targets, tmp_path: Path
) -> None:
    snapshot = BODY + hashlib.sha256(BODY).digest()
    done = taking(snapshot)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "store").iterdir()
    found = backup.read(file)
    assert found.snapshot == snapshot
    assert (found.description.cluster, found.description.revision) == ("demo", 4711)
    state = target("c1").cluster.state
    assert found.state == {
        name: (state / name).read_bytes()
        for name in ("pki/encryption.key", *(f"pki/{each}" for each in pki.ADOPTABLE))
    }
    assert file.stat().st_mode & 0o077 == 0
    copy = tmp_path / "copy.tar.gz"
    backup.put(file.read_bytes(), copy)
    assert backup.read(copy) == found
    with pytest.raises(InstallerError, match="damaged"):
        backup.put(file.read_bytes()[:-20], tmp_path / "short.tar.gz")
    assert not list(tmp_path.glob("*short*"))


def test_a_damaged_snapshot_is_not_kept_and_told_until_one_succeeds(
    taking: Callable[[bytes], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = taking(BODY + bytes(32))
    assert done.returncode == 1
    (told,) = (tmp_path / "store").iterdir()
    assert (told.name, told.read_text().strip()) == ("failed", "etcd's snapshot is damaged")
    assert taking(BODY + hashlib.sha256(BODY).digest()).returncode == 0
    assert not told.exists()


def test_old_ones_go_by_age_and_the_last_three_stay(
    taking: Callable[[bytes], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for day in range(1, 6):
        old = store / f"romana-backup-demo-2020010{day}-000000.tar.gz"
        old.touch()
        os.utime(old, (0, 0))
    assert taking(BODY + hashlib.sha256(BODY).digest()).returncode == 0
    kept = sorted(path.name for path in store.iterdir())
    assert len(kept) == 3
    assert kept[:2] == [f"romana-backup-demo-2020010{day}-000000.tar.gz" for day in (4, 5)]
