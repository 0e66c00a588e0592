"""Everything that a resource lays down can be taken off again, and what was there before is there:
on a host that really executes."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.engine.plan import judge, probe
from installer.engine.script import payloads, repairs, sections
from installer.hosts.fake import FakeHost
from installer.hosts.init import Systemd
from installer.resources import (
    Change,
    Directory,
    File,
    Gone,
    Leaving,
    Ledger,
    Package,
    Resource,
    Service,
    Symlink,
    Trace,
    User,
)

RECORDS = "/var/lib/romana/installer"


def look(host: FakeHost, resource: Resource) -> Change | None:
    verdict = judge(resource, probe(host, [resource])[0], set())
    assert not verdict.error
    return verdict.change


def carry_out(host: FakeHost, change: Change | None) -> None:
    assert change is not None
    output = host.run(repairs([change], "marker"), files=payloads([change]))
    assert sections(output.stdout, "marker")[0].status == 0, output


def lay_down(host: FakeHost, *resources: Resource) -> None:
    for each in resources:
        carry_out(host, look(host, each))
        assert look(host, each) is None


def take_off(host: FakeHost, *resources: Leaving) -> None:
    for each in map(Gone, resources):
        carry_out(host, look(host, each))
        assert look(host, each) is None


def held(host: FakeHost) -> dict[str, object]:
    """All paths below the directories that hosts are made of."""
    return {
        str(path.relative_to(host.root)): (
            path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None,
            path.lstat().st_mode,
        )
        for top in ("etc", "opt", "var/lib")
        for path in sorted((host.root / top).rglob("*"))
    }


THINGS: tuple[Leaving, ...] = (
    File("/etc/thing/own.conf", "ours\n", mode=0o600),
    Symlink("/opt/thing/bin/tool", "/usr/bin/tool"),
    Service("thing", init=Systemd(), description="A thing", command=("/usr/bin/thing",)),
)
LEDGER = Ledger(("/etc/thing", "/var/lib/thing"))


@pytest.mark.parametrize("there", [False, True], ids=["bare", "used"])
def test_a_host_is_as_it_was(host: FakeHost, there: bool) -> None:
    if there:
        for path in ("/etc/thing/own.conf", "/opt/thing/bin/tool"):
            host.path(path).parent.mkdir(parents=True)
            host.path(path).write_text("theirs\n")
        host.path("/etc/thing/theirs").write_text("more\n")
        host.path("/var/lib/thing").mkdir(mode=0o750)
        unit = host.path(Systemd().path("thing"))
        unit.parent.mkdir(parents=True)
        unit.write_text("[Unit]\n")
    else:
        host.path("/etc/systemd/system").mkdir(parents=True)
    before = held(host)
    lay_down(host, LEDGER, *THINGS)  # type: ignore[arg-type]
    host.path("/var/lib/thing").mkdir(exist_ok=True)
    host.path("/var/lib/thing/data").write_text("of our program\n")
    assert held(host) != before
    take_off(host, *reversed(THINGS), LEDGER)
    assert held(host) == before


def test_what_was_there_as_wanted_is_not_ours(host: FakeHost) -> None:
    host.path("/etc/same.conf").write_text("same\n")
    host.path("/etc/same.conf").chmod(0o644)
    same = File("/etc/same.conf", "same\n")
    lay_down(host, LEDGER)
    assert look(host, same) is None
    assert look(host, Gone(same)) is None
    take_off(host, LEDGER)
    assert host.path("/etc/same.conf").read_text() == "same\n"


def test_what_no_role_knows_any_more_goes_with_the_records(host: FakeHost) -> None:
    lay_down(host, LEDGER, File("/etc/old/way.conf", "ours\n"))
    take_off(host, LEDGER)
    assert not host.path("/etc/old").exists()
    assert not host.path(RECORDS).exists()


def test_a_host_of_before_there_were_records_is_taken_over(host: FakeHost) -> None:
    host.path(f"{RECORDS}/services").mkdir(parents=True)
    host.path(f"{RECORDS}/services/thing").write_text("digest\n")
    host.path("/etc/thing").mkdir()
    host.path("/etc/thing/own.conf").write_text("ours\n")
    lay_down(host, LEDGER)
    take_off(host, File("/etc/thing/own.conf", "ours\n"), LEDGER)
    assert not host.path("/etc/thing").exists()


def test_a_removal_that_was_cut_off_is_taken_up(host: FakeHost) -> None:
    file = File("/etc/a.conf", "ours\n")
    host.path("/etc/a.conf").write_text("theirs\n")
    lay_down(host, LEDGER, file)
    change = look(host, Gone(file))
    assert change is not None
    # Cut before the record goes: what was there is there already.
    cut = change.repair[: change.repair.index('rm -rf "$r.kept"')]
    host.run(f"set -eu\n{cut}:\nfi\n")
    take_off(host, file)
    assert host.path("/etc/a.conf").read_text() == "theirs\n"
    assert look(host, Gone(file)) is None


def test_a_directory_gets_back_its_mode(host: FakeHost) -> None:
    host.path("/opt/shared").mkdir(parents=True, mode=0o711)
    host.path("/opt/shared").chmod(0o711)
    lay_down(host, LEDGER, Directory("/opt/shared", mode=0o755))
    take_off(host, LEDGER)
    assert host.path("/opt/shared").stat().st_mode & 0o777 == 0o711


def test_only_packages_that_we_brought_go(host: FakeHost) -> None:
    packages = host.root / "run/packages"
    packages.mkdir(parents=True)
    (packages / "there").write_text("1.0\n")
    wanted = Package(("there", "fresh"))
    lay_down(host, wanted)
    change = look(host, Gone(wanted))
    assert change is not None
    assert change.diff == "-fresh"
    take_off(host, wanted)
    assert [path.name for path in packages.iterdir()] == ["there"]


def test_packages_without_a_record_are_nobodys_to_remove(host: FakeHost) -> None:
    host.path(RECORDS).mkdir(parents=True)
    host.path(f"{RECORDS}/packages").touch()
    change = look(host, Gone(Package(("there",))))
    assert change is not None
    assert "dpkg --purge" not in change.repair


def test_a_user_that_was_there_stays(host: FakeHost) -> None:
    (host.root / "run/users").write_text("thing:x:1:1::/home/thing:/bin/sh\n")
    wanted = User("thing", home="/var/lib/thing")
    change = look(host, wanted)
    assert change is not None
    host.run(f"set -eu\n{change.repair.partition('if getent')[0]}")
    departure = look(host, Gone(wanted))
    assert departure is not None
    assert "usermod --home /home/thing --shell /bin/sh thing" in departure.repair
    assert "userdel" not in departure.repair


def test_a_trace_may_appear_while_its_service_ends(tmp_path: Path) -> None:
    trace = Trace("pods", found=":", removal="true\n", end_of="service:kubelet")
    assert trace.departure("", ()) is None
    assert trace.departure("", ("service:kubelet",)) is not None
