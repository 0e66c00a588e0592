"""Scripts of many resources: their form, and taking their output apart."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.engine.script import payloads, probes, repairs, sections
from installer.hosts.gather import SCRIPT
from installer.hosts.init import Systemd
from installer.resources import (
    Absent,
    Archive,
    Binary,
    Condition,
    Directory,
    File,
    Image,
    Manifest,
    Module,
    Package,
    Resource,
    Service,
    Symlink,
    Sysctl,
    User,
)

SHELLCHECK = Path(sys.executable).parent / "shellcheck"
EXEMPT = "SC1091,SC2015,SC2016,SC2034,SC2043,SC2317,SC2329,SC3037"
"""Followed files, `a && b || c`, quoted awk, loops over one name, and names that only some texts
use."""


def everything(directory: Path) -> list[Resource]:
    source = directory / "source.tar.gz"
    source.write_bytes(gzip.compress(b"x"))
    sample = File("/etc/it's.conf", "text", mode=0o600, owner="etcd:etcd")
    return [
        sample,
        File("/etc/secret", b"\x00", secret=True),
        Directory("/srv/a b"),
        Absent("/etc/old"),
        Symlink("/etc/link", "/etc/x"),
        Binary("/usr/local/bin/tool", source=source, sha256="a" * 64),
        Archive("/opt/a/1", source=source, sha256="a" * 64, link="/opt/a/now", only=("top",)),
        Package(("conntrack", "socat=1")),
        Package(("etcd-server",), start=True),
        Sysctl("romana", (("net.ipv4.ip_forward", "1"),)),
        Module("romana", ("overlay", "br_netfilter")),
        User("etcd", home="/var/lib/etcd"),
        Image("local/pause:1", source=source, sha256="a" * 64),
        Condition("it's on", holds="[ -e /x ]", repair=": >/x", evidence="ls /"),
        Manifest("dns", "{apiVersion: v1, kind: Namespace, metadata: {name: it's}}"),
        Service(
            "thing",
            init=Systemd(),
            description="A thing",
            command=("/usr/bin/thing", "it's"),
            restart_on=(sample,),
            ready="[ -e /run/thing.sock ]",
        ),
    ]


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_every_generated_script_is_posix_sh(tmp_path: Path, shell: str) -> None:
    for text in _scripts(tmp_path):
        done = subprocess.run([*shell.split(), "-n"], input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    for number, text in enumerate(_scripts(tmp_path)):
        path = tmp_path / f"{number}.sh"
        path.write_text(text)
        done = subprocess.run(
            [SHELLCHECK, "-s", "sh", "-S", "warning", "-e", EXEMPT, path],
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout


def _scripts(directory: Path) -> list[str]:
    resources = everything(directory)
    seen = [item.compare("", ()) for item in resources]
    changes = [change for change in seen if change is not None]
    assert len(changes) >= len(resources) - 1
    return [SCRIPT, probes(resources, "marker"), repairs(changes, "marker", ["rm -f /x\n"])]


def test_a_probe_of_a_bare_host_succeeds_and_says_that_all_is_missing(tmp_path: Path) -> None:
    script = probes([File("/nowhere/x", "text"), Symlink("/nowhere/y", "z")], "marker")
    done = subprocess.run(["sh", "-c", script], text=True, capture_output=True, check=True)
    found = sections(done.stdout, "marker", done.stderr)
    assert [found[number].text.strip() for number in (0, 1)] == ["absent", "absent"]
    assert [found[number].status for number in (0, 1)] == [0, 0]


@given(st.lists(st.tuples(st.text("ab\n \t-é", max_size=20), st.integers(0, 255)), max_size=6))
def test_sections_give_back_what_texts_printed(texts: list[tuple[str, int]]) -> None:
    output = "noise\n" + "".join(
        f"\nmarker begin {index}\n{text}\nmarker end {index} {status}\n"
        for index, (text, status) in enumerate(texts)
    )
    found = sections(output, "marker")
    assert [(found[index].text, found[index].status) for index in range(len(texts))] == texts


def test_output_that_breaks_off_leaves_the_rest_unended() -> None:
    found = sections("\nm begin 0\nx\n\nm end 0 0\n\nm begin 1\nhalf", "m")
    assert found[0].status == 0
    assert (found[1].text, found[1].status) == ("half", None)
    assert 2 not in found


def test_files_of_two_changes_with_one_name_are_kept_apart(tmp_path: Path) -> None:
    changes = [File(f"/etc/{name}", name).compare("absent", ()) for name in ("a", "b")]
    names = [file.name for file in payloads([change for change in changes if change])]
    assert names == ["0/content", "1/content"]
