"""Where a run stopped and why, also when it was killed; and one run at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from installer.engine.journal import Journal, read
from installer.engine.lock import exclusive
from installer.errors import InstallerError
from installer.events import HostRecap, Recap, ResourceResult, RoleFinished, RoleStarted, RunStarted

RUN = RunStarted(command="romana-install sandbox", cluster="demo", mode="apply", hosts=("node1",))


def role(name: str) -> RoleStarted:
    return RoleStarted(role=name, title="", hosts=("node1",))


def failed(name: str) -> ResourceResult:
    return ResourceResult(
        host="node2",
        role=name,
        resource="service:etcd",
        outcome="failed",
        reason="not ready within 60 s\nlog...",
    )


ENDS = {
    "killed": ((role("base"), role("etcd")), "stopped in role etcd because it was killed"),
    "killed early": ((), "stopped before its first role because it was killed"),
    "failed": (
        (role("etcd"), failed("etcd"), role("kubelet"), Recap(hosts=(), seconds=1, stopped="x")),
        "stopped in role etcd on node2 because service:etcd: not ready within 60 s",
    ),
    "unreachable": (
        (
            role("base"),
            RoleFinished(role="base", host="n", outcome="unreachable", reason="lost"),
            Recap(hosts=(HostRecap(host="n", unreachable=1),), seconds=1),
        ),
        "stopped in role base on n because lost",
    ),
    "smoke test": (
        (role("base"), Recap(hosts=(), seconds=1, stopped="2 checks failed")),
        "stopped in role base because 2 checks failed",
    ),
    "done": ((role("base"), Recap(hosts=(), seconds=1)), "was completed"),
}


@pytest.mark.parametrize(("events", "says"), ENDS.values(), ids=ENDS.keys())
def test_the_next_run_says_where_the_last_one_stopped(
    tmp_path: Path, events: tuple[RoleStarted, ...], says: str
) -> None:
    path = tmp_path / "journal.json"
    journal = Journal(path, lambda: "2026-11-24 11:17:17")
    for event in (RUN, *events):
        journal(event)
    entry = read(path)
    assert str(entry).replace("the last run (2026-11-24 11:17:17) ", "") == says
    assert path.stat().st_mode & 0o777 == 0o600


def test_roles_that_everyone_got_through_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", lambda: "")
    for event in (RUN, role("a"), role("b"), failed("b"), role("c")):
        journal(event)
    entry = read(tmp_path / "j")
    assert entry
    assert (entry.roles, entry.role) == (("a",), "b")


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", lambda: "now")
    journal(RUN)
    journal(role("etcd"))
    journal.interrupted()
    assert "in role etcd because it was interrupted" in str(read(tmp_path / "j"))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"roles": 3}'])
def test_a_journal_that_cannot_be_read_is_no_journal(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "j").write_text(text)
    assert read(tmp_path / "j") is None


def test_a_second_run_is_told_who_is_at_work_and_since_when(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with exclusive(path, "romana-install sandbox", "2026-11-24 11:17:17"):
        with pytest.raises(InstallerError) as caught, exclusive(path, "other", "later"):
            pass
        assert "romana-install sandbox" in caught.value.message
        assert "since 2026-11-24 11:17:17" in caught.value.message
    with exclusive(path, "third", "now"):
        pass


def test_the_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import os, pathlib\n"
        "from installer.engine.lock import exclusive\n"
        f"with exclusive(pathlib.Path({str(path)!r}), 'killed', 'now'):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with exclusive(path, "next", "now"):
        pass
