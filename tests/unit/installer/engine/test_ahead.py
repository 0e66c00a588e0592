"""What is read ahead of probes changes nothing of what they print, and spares processes."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from installer.engine.ahead import read_ahead
from installer.engine.script import probes, questions, sections
from installer.hosts.fake import FakeHost
from installer.hosts.init import Systemd
from installer.resources import (
    Absent,
    Binary,
    Directory,
    File,
    Image,
    Resource,
    Service,
    Symlink,
    Sysctl,
)

COUNTED = ("stat", "sha256sum", "systemctl", "ctr")


def wanted(host: FakeHost, number: int) -> list[Resource]:
    """As many of each kind; a third of what is wanted is there, a third is something else."""
    found: list[Resource] = []
    source = host.root / "source"
    source.write_bytes(b"")
    for n in range(number):
        found += [
            File(f"/etc/it's {n}.conf", f"text {n}"),
            Directory(f"/srv/directory-{n}"),
            Absent(f"/etc/old-{n}"),
            Symlink(f"/etc/link-{n}", "/etc/x"),
            Binary(f"/usr/local/bin/tool-{n}", source=source, sha256="a" * 64),
            Sysctl(f"some-{n}", (("net.ipv4.ip_forward", "1"),)),
            Service(f"service-{n}", init=Systemd(), description="x", command=("/bin/x",)),
            Image(f"local/image-{n}:1", source=source, sha256="a" * 64),
        ]
    return found


def place(host: FakeHost, number: int) -> None:
    """What there is."""
    for name in ("etc/sysctl.d", "etc/systemd/system", "srv", "usr/local/bin", "run/units"):
        (host.root / name).mkdir(parents=True, exist_ok=True)
    for name in ("run/images", "var/lib/romana/installer/services"):
        (host.root / name).mkdir(parents=True, exist_ok=True)
    for n in range(0, number, 3):
        host.path(f"/etc/it's {n}.conf").write_text(f"text {n}")
        host.path(f"/etc/old-{n}").write_text("")
        host.path(f"/etc/sysctl.d/90-some-{n}.conf").write_text("other")
        host.path(f"/usr/local/bin/tool-{n}").write_text("")
        host.path(f"/etc/systemd/system/service-{n}.service").write_text("[Unit]\n")
        host.path(f"/run/units/service-{n}.enabled").touch()
        host.path(f"/run/units/service-{n + 1}.active").touch()
        host.path(f"/var/lib/romana/installer/services/service-{n}").write_text("stamp\n")
        image = f"local/image-{n}:1 type digest size platform romana.sha256={n:064}\n"
        host.path(f"/run/images/local-image-{n}-1").write_text(image)
        (host.root / f"srv/directory-{n}").mkdir()
        (host.root / f"srv/directory-{n + 1}").symlink_to(host.root / "etc")
        (host.root / f"etc/link-{n}").symlink_to("/etc/x")
        (host.root / f"etc/it's {n + 1}.conf").symlink_to(f"it's {n}.conf")
        (host.root / f"usr/local/bin/tool-{n + 1}").mkdir()


def count(host: FakeHost) -> None:
    """Has every start of a counted program written down."""
    for name in COUNTED:
        program = host.path(f"/bin/{name}")
        real = f"/usr/bin/{name}"
        if program.exists():
            real = str(program.rename(program.with_name(f"real-{name}")))
        program.write_text(f'#!/bin/sh\necho {name} >>"{host.root}/started"\nexec {real} "$@"\n')
        program.chmod(0o755)


def started(host: FakeHost) -> list[str]:
    path = host.root / "started"
    names = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def alone(resources: Sequence[Resource]) -> str:
    """The script of probes with nothing read ahead."""
    return questions([item.probe() for item in resources], "marker")


@pytest.mark.skipif(os.geteuid() != 0, reason="owners show by root's eyes only")
def test_probes_print_the_same_with_and_without(host: FakeHost) -> None:
    place(host, 9)
    resources = wanted(host, 9)
    with_, without = host.run(probes(resources, "marker")), host.run(alone(resources))
    assert sections(with_.stdout, "marker", with_.stderr) == sections(
        without.stdout, "marker", without.stderr
    )


def test_what_is_there_starts_no_process_of_its_own(host: FakeHost) -> None:
    place(host, 30)
    resources = [each for n, each in enumerate(wanted(host, 30)) if n // 8 % 3 == 0]
    # A program without a stamp is hashed by itself.
    resources = [each for each in resources if not isinstance(each, Binary)]
    count(host)
    host.run(alone(resources))
    assert len(started(host)) > 60
    host.run(probes(resources, "marker"))
    assert sorted(started(host)) == sorted(COUNTED)


def test_without_anything_to_ask_nothing_fails(host: FakeHost) -> None:
    output = host.run(f"set -eu\n{read_ahead([])}echo done\n")
    assert (output.status, output.stdout) == (0, "done\n")
