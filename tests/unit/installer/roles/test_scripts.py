"""Every probe and repair of every role, and every job, as sh and shellcheck see them: on systems of
today and on Ubuntu 14.04."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from upstart_grammar import parse

from installer.engine.plan import wanted
from installer.engine.script import probes, repairs
from installer.hosts.gather import SCRIPT
from installer.hosts.init import Systemd, Upstart
from installer.resources import Resource, Service
from installer.roles import ROLES, leaving
from installer.roles.role import Target

Targets = Callable[..., Target]
SHELLCHECK = Path(sys.executable).parent / "shellcheck"
EXEMPT = "SC1091,SC2010,SC2012,SC2015,SC2016,SC2034,SC2043,SC2317,SC2329,SC3037"
"""As in the engine's tests; and `ls`, which knows what is oldest, of names that are our own."""
SYSTEMS = {
    "today": {},
    "ubuntu-14.04": {
        "os_id": "ubuntu",
        "os_version": "14.04",
        "kernel": "4.4.0-148-generic",
        "init": "upstart",
        "modules": ("overlay", "nf_conntrack", "ip_tables", "ip_set", "veth"),
    },
}
NOT_IN_2014 = re.compile(
    r"\b(?:systemctl|journalctl|hostnamectl|timedatectl|loginctl|nft|nsenter|lsns|python3?|pip3?)\b"
    r"|sha256sum[^|;\n]* --ignore-missing|\btar [^|;\n]*--zstd"
    r"|\bip [^|;\n]*-j|\bss [^|;\n]*-[A-Za-z]*H"
    r"|\biptables[^|;\n]* -w [0-9]|\bcp [^|;\n]*--reflink=always|\bdate [^|;\n]*--iso-8601=ns"
    r"|\bapt (?:install|update)\b|\bmktemp [^|;\n]*--tmpdir=|\bstat [^|;\n]*--cached|\[\["
)
"""Programs and options that Ubuntu 14.04 does not have."""
STATES = ("", "0000 none disabled inactive\n")


def everything(target: Target) -> tuple[Resource, ...]:
    mirrored = replace(target.cluster, package_mirror="http://old.example.net/ubuntu")
    return wanted(ROLES, replace(target, cluster=mirrored)).resources


def scripts(target: Target) -> Iterator[str]:
    """What a run sends to a host: facts, probes, and repairs of several states."""
    found = everything(target)
    yield SCRIPT
    yield probes(found, "marker")
    for state in STATES:
        changes = [change for item in found if (change := _compared(item, state))]
        assert changes
        yield repairs(changes, "marker", [change.prepare for change in changes])
    yield from _leaving(target)
    for each in found:
        if isinstance(each, Service):
            verbs = ("state", "enable", "disable", "start", "stop", "restart", "failed")
            yield "".join(getattr(each.init, verb)(each.name) for verb in verbs)
            yield each.init.log(each.name, 5)
            return


def _leaving(target: Target) -> Iterator[str]:
    """What a reset sends."""
    found = wanted(leaving.leaving(), leaving.target(target.cluster, target.host, target.facts))
    yield probes(found.resources, "marker")
    changes = [each.compare("there enabled active\nname\n", ()) for each in found.resources]
    yield repairs([each for each in changes if each], "marker")


def _compared(item: Resource, state: str):  # noqa: ANN202
    try:
        return item.compare(state, ())
    except (ValueError, IndexError):  # no probe of this kind prints such a state
        return None


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_script_is_posix_sh(target: Targets, tmp_path: Path, system: str) -> None:
    """A controller has all that a node has."""
    paths = []
    for number, text in enumerate(scripts(target("c1", **SYSTEMS[system]))):
        path = tmp_path / f"{number}.sh"
        path.write_text(text)
        paths.append(path)
        for shell in (["dash"], ["busybox", "sh"]):
            done = subprocess.run([*shell, "-n", path], text=True, capture_output=True)
            assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [SHELLCHECK, "-s", "sh", "-S", "warning", "-e", EXEMPT, *paths],
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[:3000]


def test_jobs_are_what_shellcheck_likes(target: Targets, tmp_path: Path) -> None:
    paths = []
    for each in everything(target("c1", **SYSTEMS["ubuntu-14.04"])):
        if isinstance(each, Service):
            for kind, process in parse(each.name, each.init.render(each)).processes.items():
                path = tmp_path / f"{each.name}.{kind}.sh"
                path.write_text(process.text)
                paths.append(path)
    done = subprocess.run(
        [SHELLCHECK, "-s", "sh", "-S", "warning", "-e", EXEMPT, *paths],
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[:3000]


@pytest.mark.parametrize("host", ["c1", "n1"])
def test_nothing_is_used_that_came_after_2014(target: Targets, host: str) -> None:
    found = everything(target(host, **SYSTEMS["ubuntu-14.04"]))
    texts = [probes(found, "m")]
    texts += [repairs([change], "m") for item in found if (change := item.compare("", ()))]
    texts += [each.init.render(each) for each in found if isinstance(each, Service)]
    for text in texts:
        hit = NOT_IN_2014.search(text.replace("/opt/romana/python", ""))
        assert hit is None, text[max(0, hit.start() - 80) : hit.end() + 80]


@pytest.mark.parametrize(
    "line",
    [
        "sha256sum --check --ignore-missing x",
        "systemctl start x",
        "tar -xf x --zstd",
        "ip -j addr",
        "ss -lH",
        "iptables -w 5 -S",
        "apt install x",
        "if [[ a ]]; then",
        "python3 -c 1",
    ],
)
def test_what_came_after_2014_would_be_found(line: str) -> None:
    assert NOT_IN_2014.search(line)


def test_init_systems_offer_the_same() -> None:
    public = {name for name in dir(Upstart) if not name.startswith("_")}
    assert public == {name for name in dir(Systemd) if not name.startswith("_")}
