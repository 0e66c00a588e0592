"""Bare metal, as docs/bare-metal.md has it: every command of the page, in its order, over real SSH
through a bastion, as a user who needs a password for sudo."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import stat
from pathlib import Path

import pytest
from documented import Page

pytestmark = Page("bare-metal.md").mark
ALL = ("alpha", "beta", "gamma")
INSTALL = "romana-install static -i hosts.yml"
QUICK = ("--json", "--yes")
HELD = (
    "find /etc /opt /usr/local /var/lib/kubelet/config.yaml /var/lib/romana/installer -type f"
    " -printf '%p %T@ %s %m %u\\n' 2>/dev/null | sort | sha256sum"
)
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1mzyFVTCGZMyx8QPV4ZyXKZNwUhg2qNDlFVYxhGHzT"


def held(office):
    """What is on the servers."""
    return {name: office.on(name, HELD) for name in ALL}


def kept(office):
    """What the operator's machine keeps of the cluster."""
    return {path: path.stat().st_mtime_ns for path in office.state.rglob("*")}


def test_a_server_with_another_host_key_is_refused_and_nothing_is_touched(office):
    before = held(office)
    ended = office.type(INSTALL, *QUICK, "--set", f"hosts.alpha.host_key={OTHER_KEY}")
    assert ended.code == 1
    assert "no controller of baremetal can be reached; nothing was changed" in ended.err
    told = [r["reason"] for r in ended.of("ResourceResult") if r["host"] == "alpha"]
    assert re.fullmatch(
        r"alpha \(deploy@198\.18\.1\.10:22\): shows the host key ssh-ed25519 SHA256:\S+, but "
        r"ssh-ed25519 SHA256:\S+ is pinned \(someone may be in between; .*\)",
        told[0],
    )
    assert held(office) == before


def test_a_bastion_that_nobody_vouches_for_is_refused(office):
    known = office.home / ".ssh/known_hosts"
    text = known.read_text()
    known.write_text("")
    try:
        ended = office.type(INSTALL, "--check", "--json")
    finally:
        known.write_text(text)
    assert ended.code == 1
    reasons = {r["host"]: r["reason"] for r in ended.of("ResourceResult")}
    assert set(reasons) == set(ALL)
    for host, reason in reasons.items():
        assert f"{host}: behind jump: nobody vouches for the host key it shows" in reason
        assert "\n" not in reason


def test_a_wrong_password_is_told_and_nothing_is_touched(office):
    before = held(office)
    wrong = office.home / "wrong"
    wrong.write_text("not the password\n")
    wrong.chmod(0o600)
    ended = office.type(INSTALL, *QUICK, "--sudo-password-file", "wrong")
    assert ended.code == 1
    reasons = {r["host"]: r["reason"] for r in ended.of("ResourceResult")}
    assert all(
        reasons[host].startswith(f"{host}: sudo does not take the password of deploy")
        for host in ALL
    )
    assert "not the password" not in ended.out + ended.err
    assert held(office) == before


def test_without_a_password_it_is_said_how_to_give_one(office):
    hosts = office.home / "hosts.yml"
    text = hosts.read_text()
    hosts.write_text(text.replace("sudo_password_file:", "# sudo_password_file:"))
    try:
        ended = office.type(INSTALL, "--check", "--json")
    finally:
        hosts.write_text(text)
    assert ended.code == 1
    reasons = [r["reason"] for r in ended.of("ResourceResult")]
    assert any("--ask-sudo-password" in reason for reason in reasons)


def test_the_doctor_finds_what_is_wrong_and_nothing_else(office):
    before, here = held(office), kept(office)
    office.on("gamma", "ip address add 10.113.0.1/32 dev lo")
    try:
        ended = office.type("romana-install doctor -i hosts.yml", "--json")
    finally:
        office.on("gamma", "ip address del 10.113.0.1/32 dev lo")
    assert ended.code == 1, ended.err
    assert [(event["where"], event["what"]) for event in ended.of("Finding")] == [
        ("gamma", "its address 10.113.0.1 lies in the range of pods, 10.112.0.0/12")
    ]
    healthy = office.type("romana-install doctor -i hosts.yml")
    assert healthy.code == 0, healthy.out
    assert "no problem; 3 of 3 hosts looked at, nothing changed" in healthy.out
    assert held(office) == before
    assert kept(office) == here


@pytest.fixture(scope="module")
def installed(office):
    """The cluster, made by the page's own command; the router gets the routes that are told."""
    ended = office.type(f"{INSTALL} --check", "--json")
    assert ended.code == 2, ended.err
    routes = [
        shlex.split(event["text"].partition("needs a route: ")[2])
        for event in office.type(INSTALL, "--json", "--set", "cluster.smoke=false").of("Notice")
        if "needs a route" in event["text"]
    ]
    assert [route[:3] for route in routes] == [
        ["10.112.0.0/13", "via", "198.18.1.10"],
        ["10.120.0.0/13", "via", "198.18.2.10"],
    ]
    router = office.servers["alpha"].lab
    for share, _, hop, *_ in routes:
        router.ip("route", "add", share, "via", hop)
    yield office


def test_pods_reach_each_other_across_racks_and_only_as_policies_let_them(installed):
    ended = installed.type("romana-install test -n baremetal", "--json")
    assert ended.code == 0, ended.out + ended.err
    checks = ended.of("CheckResult")
    assert len(checks) > 15
    assert all(check["passed"] for check in checks)


def test_each_host_routes_to_its_neighbours_itself_and_beyond_by_its_gateway(installed):
    def routes(host):
        rows = json.loads(installed.on(host, "ip -j route show proto 82"))
        return {row["dst"]: row["gateway"] for row in rows if "gateway" in row}

    assert set(routes("alpha").values()) == {"198.18.1.11", "198.18.1.1"}
    assert set(routes("gamma").values()) == {"198.18.2.1"}
    assert len(routes("gamma")) >= 2
    config = installed.on("gamma", "cat /etc/romana/agent.yml")
    assert "gateways: [198.18.2.1]" in config


def test_a_second_run_changes_nothing(installed):
    before = held(installed)
    ended = installed.type(INSTALL, *QUICK)
    assert ended.code == 0, ended.err
    assert ended.results("changed", "failed", "skipped", "unreachable") == []
    # By its name, as messages tell to finish an installation.
    named = installed.type("romana-install static -n baremetal --check", "--json")
    assert named.code == 0, named.err
    assert held(installed) == before


def test_the_verbs_for_a_cluster_work(installed):
    status = installed.type("romana-install status -n baremetal", "--json")
    assert (status.code, json.loads(status.out)["problems"]) == (0, [])
    line = "export KUBECONFIG=$(romana-install kubeconfig -n baremetal)"
    printed = installed.type(line, then="echo $KUBECONFIG").out.strip()
    assert printed == str(installed.state / "kubeconfig")
    assert "https://198.18.1.10:6443" in Path(printed).read_text()
    assert "load average" in installed.type("romana-install ssh gamma -n baremetal -- uptime").out


def test_ansibles_list_is_the_same_inventory(installed):
    """As a file, and from an executable. A bastion that is asked for once more, by its address, is
    as good as the one of the other inventory."""
    ended = installed.type("romana-install static -i hosts.json --check", "--json")
    assert ended.code == 0, ended.out + ended.err
    assert ended.results("changed", "failed", "unreachable") == []
    ignored = [event["text"] for event in ended.of("Notice") if "is ignored" in event["text"]]
    assert len(ignored) == 3
    assert "host keys are always checked" in ignored[0]
    dynamic = installed.home / "dynamic"
    dynamic.write_text('#!/bin/sh\n[ "$1" = --list ] && cat hosts.json\n')
    dynamic.chmod(0o755)
    executed = installed.type("romana-install doctor -i dynamic")
    assert executed.code == 0, executed.out


def test_a_password_is_asked_for_on_the_terminal(installed):
    text = (installed.home / "hosts.yml").read_text()
    (installed.home / "asked.yml").write_text(
        text.replace("sudo_password_file:", "# sudo_password_file:")
    )
    words = installed.words("romana-install static -i asked.yml --check --ask-sudo-password")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(words[0], words, installed.environment)
    seen = b""
    while b"sudo password:" not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, f"{installed.password}\n".encode())
    try:
        while piece := os.read(terminal, 65536):
            seen += piece
    except OSError:  # how a terminal ends
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen.decode()
    assert installed.password not in seen.decode()


def test_the_password_is_written_nowhere(installed):
    for path in installed.state.rglob("*"):
        if path.is_file():
            assert installed.password.encode() not in path.read_bytes(), path
            assert stat.S_IMODE(installed.state.stat().st_mode) == 0o700
    for host in ALL:
        journal = installed.on(host, "journalctl --no-pager -q")
        assert "sudo" in journal
        assert installed.password not in journal


def test_the_end_says_what_it_leaves(installed):
    before = held(installed)
    ended = installed.type("romana-install destroy -n baremetal", "--yes", "--json")
    assert ended.code == 0, ended.err
    said = " ".join(event["text"] for event in ended.of("Notice"))
    assert "nothing was removed from alpha, beta, gamma: the cluster runs on there" in said
    assert not installed.state.exists()
    assert held(installed) == before


def test_every_command_of_the_page_was_typed(installed):
    assert installed.page.left() == []
