"""Services as systemd sees them: golden unit files, and words that survive its quoting."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.errors import InstallerError
from installer.hosts.facts import Facts
from installer.hosts.gather import parse
from installer.hosts.init import Systemd, Upstart, of
from installer.hosts.init.systemd import word
from installer.resources import Service

GOLDEN = Path(__file__).parent / "golden"
SYSTEMD = Systemd()
SERVICES = {
    "plain": Service(
        "thing", init=SYSTEMD, description="A thing", command=("/usr/bin/thing", "--flag=value")
    ),
    "everything": Service(
        "etcd",
        init=SYSTEMD,
        description="etcd, the cluster's store",
        command=("/usr/bin/etcd", "--name=it's here", "--percent=50%", "--var=$HOME", 'say "no"'),
        environment=(("GOMAXPROCS", "2"), ("GREETING", "50% of $HOME")),
        after=("network-online.target", "containerd.service"),
        before=("kube-apiserver.service",),
        wants=("containerd.service",),
        user="etcd",
        limits=(("NOFILE", "65536"), ("MEMLOCK", "infinity")),
        type="notify",
        directives=(("Delegate", "yes"), ("KillMode", "process")),
    ),
    "oneshot": Service(
        "once",
        init=SYSTEMD,
        description="Once",
        command=("/bin/true",),
        type="oneshot",
        after=(),
        wants=(),
    ),
}


@pytest.mark.parametrize("name", SERVICES)
def test_units_are_as_they_were(name: str) -> None:
    path = GOLDEN / f"{name}.service"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(SYSTEMD.render(SERVICES[name]))
    assert SYSTEMD.render(SERVICES[name]) == path.read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_itself_understands_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{SERVICES[name].name}.service"
    path.write_text(SYSTEMD.render(SERVICES[name]).replace("/usr/bin/thing", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], text=True, capture_output=True
    )
    complaints = [line for line in done.stderr.splitlines() if str(path) in line]
    assert [line for line in complaints if "not executable" not in line] == []


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))))
def test_a_word_stays_one_word(text: str) -> None:
    written = word(text)
    unquoted = shlex.split(written.replace("\\n", "\n"))[0] if written != '""' else ""
    assert unquoted.replace("%%", "%").replace("$$", "$") == text


def facts(init: str) -> Facts:
    from_text = (
        "clock 1\nhostname h\nmachine_id m\nos_id x\nos_version 1\nkernel k\narchitecture a\n"
        f"init {init}\nuid 0\ncpus 1\nmemory_kb 1\nswap_kb 0\ndisk_free_kb 1\ncgroup x\n"
        "container \nforward_policy "
    )
    from ipaddress import IPv4Address

    return parse(from_text, IPv4Address("198.18.0.1"), 1)


def test_the_init_system_is_chosen_by_the_facts() -> None:
    assert of(facts("systemd")) == SYSTEMD
    assert of(facts("upstart")) == Upstart()
    with pytest.raises(InstallerError, match="h: its init system is unknown"):
        of(facts("unknown"))
