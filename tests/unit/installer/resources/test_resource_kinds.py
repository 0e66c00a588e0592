"""Every kind of resource on a host that really executes: brought about once, then left alone, and
mended when it drifts."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from installer.engine.plan import judge, probe
from installer.engine.script import payloads, repairs, sections
from installer.hosts.fake import FakeHost
from installer.hosts.init import Systemd
from installer.resources import (
    Absent,
    Archive,
    Binary,
    Change,
    Condition,
    Directory,
    File,
    Image,
    Module,
    Package,
    Resource,
    Service,
    Symlink,
    Sysctl,
    User,
)

UNIT = "/etc/systemd/system/thing.service"


def look(host: FakeHost, resource: Resource, changing: tuple[str, ...] = ()) -> Change | None:
    verdict = judge(resource, probe(host, [resource])[0], set(changing))
    assert not verdict.error
    return verdict.change


def mend(host: FakeHost, change: Change) -> None:
    output = host.run(repairs([change], "marker"), files=payloads([change]))
    assert sections(output.stdout, "marker")[0].status == 0, output


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def service(**values: object) -> Service:
    wanted = {"init": Systemd(), "description": "A thing", "command": ("/usr/bin/thing", "--on")}
    return Service("thing", **{**wanted, **values})  # type: ignore[arg-type]


def tarball(path: Path, **members: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(f"top/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@dataclass(frozen=True)
class Case:
    """A resource and how to spoil it."""

    make: Callable[[Path], Resource]
    spoil: Callable[[FakeHost], object]


def _binary(directory: Path) -> Binary:
    source = directory / "tool.gz"
    source.write_bytes(gzip.compress(b"#!/bin/sh\necho tool\n"))
    return Binary("/usr/local/bin/tool", source=source, sha256=sha(b"#!/bin/sh\necho tool\n"))


def _archive(directory: Path) -> Archive:
    source = tarball(directory / "release.tar.gz", program="text")
    return Archive(
        "/opt/thing/1.0",
        source=source,
        sha256=sha(source.read_bytes()),
        link="/opt/thing/current",
        strip=1,
    )


def _image(directory: Path) -> Image:
    source = directory / "image.tar"
    source.write_bytes(b"layers")
    return Image("local/pause:1", source=source, sha256=sha(b"layers"))


CASES = {
    "file": Case(
        lambda _: File("/etc/a/b.conf", "text\n", mode=0o640),
        lambda host: host.path("/etc/a/b.conf").write_text("other\n"),
    ),
    "file mode": Case(
        lambda _: File("/etc/a/b.conf", "text\n", mode=0o640),
        lambda host: host.path("/etc/a/b.conf").chmod(0o666),
    ),
    "file binary": Case(
        lambda _: File("/etc/blob", bytes(range(256))),
        lambda host: host.path("/etc/blob").write_bytes(b"\xff\xfe"),
    ),
    "file behind a link": Case(
        lambda _: File("/etc/a.conf", "text\n"),
        lambda host: (
            host.path("/etc/a.conf").unlink(),
            host.path("/etc/a.conf").symlink_to("/dev/null"),
        ),
    ),
    "file with a quote": Case(
        lambda _: File("/etc/it's here.conf", "text\n"),
        lambda host: host.path("/etc/it's here.conf").unlink(),
    ),
    "directory": Case(
        lambda _: Directory("/srv/data/deep", mode=0o700),
        lambda host: host.path("/srv/data/deep").chmod(0o755),
    ),
    "symlink": Case(
        lambda _: Symlink("/etc/link", "/etc/target"),
        lambda host: host.path("/etc/link").unlink(),
    ),
    "absent": Case(
        lambda _: Absent("/etc/old"),
        lambda host: host.path("/etc/old").mkdir(),
    ),
    "binary": Case(
        _binary, lambda host: host.path("/usr/local/bin/tool").write_text("#!/bin/sh\nevil\n")
    ),
    "binary mode": Case(_binary, lambda host: host.path("/usr/local/bin/tool").chmod(0o644)),
    "archive": Case(
        _archive, lambda host: (host.path("/opt/thing/1.0") / ".romana-sha256").unlink()
    ),
    "archive link": Case(_archive, lambda host: host.path("/opt/thing/current").unlink()),
    "package": Case(
        lambda _: Package(("conntrack", "socat=2.0")),
        lambda host: host.path("/run/packages/socat").write_text("1.9\n"),
    ),
    "module": Case(
        lambda _: Module("romana", ("overlay",)),
        lambda host: host.path("/etc/modules-load.d/romana.conf").unlink(),
    ),
    "image": Case(_image, lambda host: host.path("/run/images/local-pause-1").unlink()),
    "user": Case(
        lambda _: User("etcd", home="/var/lib/etcd"),
        lambda host: host.path("/run/users").write_text(""),
    ),
    "service": Case(
        lambda _: service(), lambda host: host.path("/run/units/thing.active").unlink()
    ),
    "service not enabled": Case(
        lambda _: service(), lambda host: host.path("/run/units/thing.enabled").unlink()
    ),
    "service definition": Case(
        lambda _: service(), lambda host: host.path(UNIT).write_text("[Unit]\n")
    ),
    "condition": Case(
        lambda _: Condition(
            "switch is on", holds="[ -e /run/switch ]", repair=": >/run/switch", timeout_s=5
        ),
        lambda host: host.path("/run/switch").unlink(),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_is_brought_about_once_and_mended_after_drift(
    host: FakeHost, tmp_path: Path, case: Case
) -> None:
    resource = case.make(tmp_path)
    first = look(host, resource)
    if first is not None:
        mend(host, first)
    assert look(host, resource) is None
    case.spoil(host)
    again = look(host, resource)
    assert again is not None
    assert again.before != again.after
    mend(host, again)
    assert look(host, resource) is None


def test_sysctl_sets_what_differs_and_names_what_the_kernel_lacks(host: FakeHost) -> None:
    values = host.path("/proc/sys/net/ipv4")
    values.mkdir(parents=True)
    (values / "ip_forward").write_text("0\n")
    wanted = Sysctl("romana", (("net.ipv4.ip_forward", "1"),))
    change = look(host, wanted)
    assert change is not None
    assert (change.before, change.after) == ("net.ipv4.ip_forward=0", "net.ipv4.ip_forward=1")
    mend(host, change)
    assert look(host, wanted) is None
    lacking = look(host, Sysctl("romana", (("net.bridge.none", "1"),)))
    assert lacking is not None
    output = host.run(repairs([lacking], "marker"), files=payloads([lacking]))
    assert "this kernel has no net.bridge.none" in output.stdout


def test_a_secret_is_shown_as_a_digest_and_its_content_never_leaves_the_host(
    host: FakeHost,
) -> None:
    secret = File("/etc/key", "the new secret", mode=0o600, secret=True)
    host.path("/etc/key").write_text("the old secret")
    assert "old secret" not in host.run(secret.probe()).stdout
    change = look(host, secret)
    assert change is not None
    assert "secret" not in change.diff.replace("sha256", "")
    assert sha(b"the new secret")[:12] in change.diff
    assert "the new secret" not in repr(secret)
    mend(host, change)
    assert host.path("/etc/key").stat().st_mode & 0o777 == 0o600


def test_a_files_change_has_a_unified_diff(host: FakeHost) -> None:
    host.path("/etc/a.conf").write_text("one\ntwo\n")
    change = look(host, File("/etc/a.conf", "one\nthree\n"))
    assert change is not None
    assert "-two\n+three" in change.diff


def test_a_transfer_that_is_not_what_was_sent_is_refused(host: FakeHost, tmp_path: Path) -> None:
    source = tmp_path / "tool.gz"
    source.write_bytes(gzip.compress(b"something else"))
    change = look(host, Binary("/usr/local/bin/tool", source=source, sha256="0" * 64))
    assert change is not None
    output = host.run(repairs([change], "marker"), files=payloads([change]))
    assert sections(output.stdout, "marker")[0].status == 1
    assert not host.path("/usr/local/bin/tool").exists()


def test_packages_need_the_list_only_when_they_are_not_known(host: FakeHost) -> None:
    for package in ("conntrack", "socat"):
        change = look(host, Package((package,)))
        assert change is not None
        mend(host, change)
    updates = [line for line in host.path("/run/apt").read_text().splitlines() if "update" in line]
    assert len(updates) == 1
    assert not host.path("/usr/sbin/policy-rc.d").exists()


def test_packages_of_one_source_alone_leave_what_the_host_knows_of_its_own(host: FakeHost) -> None:
    change = look(host, Package(("conntrack",), only_from="/etc/romana/packages.list"))
    assert change is not None
    mend(host, change)
    for line in host.path("/run/apt").read_text().splitlines():
        options = dict(word.partition("=")[::2] for word in line.split() if "=" in word)
        assert options["Dir::Etc::sourcelist"].endswith("/etc/romana/packages.list")
        assert options["Dir::Etc::sourceparts"] == "-"
        assert options["Dir::State::lists"].endswith("/var/lib/romana/apt/lists")


def test_a_package_that_the_mirror_does_not_have_fails_with_apts_own_words(host: FakeHost) -> None:
    host.path("/run/mirror").write_text("socat\n")
    change = look(host, Package(("conntrack",)))
    assert change is not None
    output = host.run(repairs([change], "marker"), files=payloads([change]))
    assert sections(output.stdout, "marker")[0].status == 100
    assert "E: no conntrack" in output.stdout


@pytest.mark.parametrize(
    ("changing", "restarts"),
    [(("file:/etc/thing.conf",), True), (("file:/etc/other.conf",), False)],
)
def test_a_service_restarts_with_its_inputs_and_not_with_others(
    host: FakeHost, changing: tuple[str, ...], restarts: bool
) -> None:
    wanted = service(restart_on=(File("/etc/thing.conf", "text"),))
    mend(host, _some(look(host, wanted)))
    assert (look(host, wanted, changing) is not None) == restarts


def test_a_service_started_with_other_inputs_restarts_even_if_nothing_changes_now(
    host: FakeHost,
) -> None:
    mend(host, _some(look(host, service(restart_on=(File("/etc/thing.conf", "old"),)))))
    change = look(host, service(restart_on=(File("/etc/thing.conf", "new"),)))
    assert _some(change).before == "active enabled, started with other inputs"


def test_enabling_alone_does_not_restart(host: FakeHost) -> None:
    mend(host, _some(look(host, service())))
    host.path("/run/units/thing.enabled").unlink()
    mend(host, _some(look(host, service())))
    assert host.path("/run/units/thing.starts").read_text() == "start\n"


@pytest.mark.parametrize(
    ("broken", "ready", "says"),
    [(True, "", "thing did not start"), (False, "false", "thing was not ready within 1 s")],
)
def test_a_service_that_does_not_come_up_says_so_with_its_log_and_is_tried_again(
    host: FakeHost, broken: bool, ready: str, says: str
) -> None:
    wanted = service(ready=ready, ready_timeout_s=1)
    if broken:
        host.path("/run/units").mkdir()
        host.path("/run/units/thing.broken").touch()
    change = _some(look(host, wanted))
    output = host.run(repairs([change], "marker"), files=payloads([change]))
    assert sections(output.stdout, "marker")[0].status == 1
    assert says in output.stdout
    assert "the last line of the log" in output.stdout
    assert look(host, wanted) is not None


def _some(change: Change | None) -> Change:
    assert change is not None
    return change
