"""From one backend to another while traffic flows, and which one is chosen."""

import asyncio
import os
import re
import socket
import threading
from contextlib import contextmanager

import pytest

from romana.dataplane import RulesetError, trial
from romana.dataplane.backends import UNDECIDED_LIMIT, Enforcement, UndecidedError, choose
from romana.lab.probes import Outcome, tcp
from romana.policy.admission import Admission, Direction

INGRESS = Direction.INGRESS
A, B = "10.112.0.5", "10.112.0.6"
FAKE = """#!/bin/sh
left=$(cat {0}/left)
case "$left $*" in
[1-9]*" -f -")
    echo $((left - 1)) >{0}/left
    echo {1} >&2
    exit 1
esac
PATH=${{PATH#{0}:}}
exec nft "$@"
"""
PATIENCE_S = 60
ALL = ("nftables", "iptables-legacy", "iptables-nft")


def present(host):
    """The backends that have something of ours in the kernel."""
    found = set()
    if "table inet romana" in host.namespace.run("nft", "list", "tables"):
        found.add("nftables")
    for kind in ("legacy", "nft"):
        if ":ROMANA-" in host.namespace.run(f"iptables-{kind}-save", "-t", "mangle"):
            found.add(f"iptables-{kind}")
    return found


@pytest.fixture
def enforcement(host):
    made = Enforcement()
    made.settings = host.renderer.settings
    return made


def admission(host):
    return Admission(
        endpoints={each.endpoint.interface: each for each in host.endpoints.values()},
        programs=host.programs,
    )


@contextmanager
def repeatedly(*works):
    """Do each of these again and again, in a thread of its own; yields what they returned, in one
    list for each."""
    stop = threading.Event()
    results = [[] for _ in works]

    def repeat(work, found):
        while not stop.is_set():
            found.append(work())

    threads = [
        threading.Thread(target=repeat, args=each) for each in zip(works, results, strict=True)
    ]
    for each in threads:
        each.start()
    try:
        yield results
    finally:
        stop.set()
        for each in threads:
            each.join()


def repeated_openings(pod):
    """How often a pod's kernel has sent a SYN again, a second after it was not answered."""
    lines = [
        line.split()
        for line in pod.run("cat", "/proc/net/netstat").splitlines()
        if line.startswith("TcpExt:")
    ]
    return int(dict(zip(*lines, strict=True))["TCPSynRetrans"])


def test_a_switch_lets_nothing_through_and_stops_nothing(host, responder, enforcement):
    a, b = host.pod("a", A), host.pod("b", B)
    responder.tcp(b, 80)
    host.isolate("b", ingress=host.program("in", INGRESS, host.grant(f"{A}/32", 6, 80)))
    enforcement.choice = ALL[0]
    host.do(enforcement.apply(admission(host)))
    listener = b.open(socket.AF_INET, socket.SOCK_DGRAM)
    sender = a.open(socket.AF_INET, socket.SOCK_DGRAM)
    with listener, sender, a.connect(B, 80) as link:
        listener.bind((B, 53))
        listener.settimeout(0.2)
        link.settimeout(PATIENCE_S)
        link.recv(100)

        def talk():
            link.sendall(b"x")
            return link.recv(1)

        with repeatedly(
            lambda: sender.sendto(b"denied", (B, 53)),
            lambda: tcp(a, B, 80, timeout_s=PATIENCE_S).outcome,
            talk,
        ) as (sent, connected, answers):
            for name in (*ALL[1:], *ALL):
                enforcement.choice = name
                host.do(enforcement.apply(admission(host)))
                assert present(host) == {name}
                assert host.do(enforcement.drift()) == ()
        with pytest.raises(TimeoutError):
            listener.recv(10)
    assert len(sent) > 100
    assert len(connected) > 20
    assert set(connected) == {Outcome.CONNECTED}
    assert set(answers) == {b"x"}
    assert repeated_openings(a) == 0, "no first packet was lost"


def test_nftables_is_taken_where_it_works(host, enforcement):
    host.pod("a", A)
    host.do(enforcement.apply(admission(host)))
    assert (enforcement.title, enforcement.why) == ("nftables", "it works here")
    assert present(host) == {"nftables"}


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """Puts an nft first in PATH whose trials fail so often, saying something."""
    monkeypatch.setattr(trial, "PAUSE_S", 0)

    def fail(said, times=1000):
        (tmp_path / "left").write_text(str(times))
        fake = tmp_path / "nft"
        fake.write_text(FAKE.format(tmp_path, said))
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH'].removeprefix(f'{tmp_path}:')}")

    return fail


def test_iptables_is_taken_where_nftables_does_not_work(host, enforcement, failing):
    failing("Operation not supported")
    host.pod("a", A)
    host.do(enforcement.apply(admission(host)))
    assert enforcement.title.startswith("iptables ")
    assert re.match("nftables does not work here: .*Operation not supported", enforcement.why)
    with pytest.raises(RulesetError, match="nftables does not work here: .*not supported"):
        host.do(choose("nftables"))


@pytest.mark.parametrize("said", ["Operation not supported", "Cannot allocate memory"])
def test_a_trial_that_fails_once_or_twice_means_nothing(host, failing, said):
    failing(said, times=2)
    assert host.do(choose("auto")).title == "nftables"


def test_what_fails_for_want_of_memory_is_tried_again_long_before_iptables_is_taken(
    host, enforcement, failing
):
    failing("Cannot allocate memory")
    host.pod("a", A)
    for _ in range(UNDECIDED_LIMIT):
        with pytest.raises(UndecidedError, match="trying again: .*Cannot allocate memory"):
            host.do(enforcement.apply(admission(host)))
        assert present(host) == set()
    host.do(enforcement.apply(admission(host)))
    assert enforcement.title.startswith("iptables ")


def test_a_table_that_is_there_is_kept_though_nftables_cannot_be_tried(host, failing):
    host.pod("a", A)
    first, second = Enforcement("nftables"), Enforcement("auto")
    first.settings = second.settings = host.renderer.settings
    host.do(first.apply(admission(host)))
    failing("Cannot allocate memory", times=3)
    host.do(second.apply(admission(host)))
    assert (second.title, second.why) == ("nftables", "it holds the policies already")


@pytest.mark.parametrize("name", ALL)
def test_a_new_agent_stays_with_what_holds_the_policies(host, enforcement, name):
    host.pod("a", A)
    enforcement.choice = name
    host.do(enforcement.apply(admission(host)))
    assert enforcement.why == "the configuration asks for it"
    again = Enforcement("auto")
    again.settings = host.renderer.settings
    host.do(again.apply(admission(host)))
    assert present(host) == {name}
    assert again.why == "it holds the policies already"


@pytest.mark.parametrize("kind", ["legacy", "nft"])
def test_the_kind_of_iptables_with_rules_of_others_is_used(host, kind):
    for chain in ("INPUT", "FORWARD"):
        host.namespace.run(f"iptables-{kind}", "-A", chain, "-s", "192.0.2.1", "-j", "DROP")
    assert host.do(choose("iptables")).variant.kind == kind


def test_what_is_not_installed_is_refused(host, monkeypatch, tmp_path):
    os.symlink("/usr/bin/unshare", tmp_path / "unshare")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RulesetError, match="install both packages"):
        host.do(choose("iptables"))
    with pytest.raises(RulesetError, match="install both packages"):
        host.do(choose("auto"))


def test_drift_is_repaired_and_counters_are_read_through_the_chosen_backend(host, enforcement):
    host.pod("a", A)
    enforcement.choice = "iptables-legacy"
    assert host.do(enforcement.counters()) == {}
    host.do(enforcement.apply(admission(host)))
    host.namespace.run("iptables-legacy", "-t", "mangle", "-F")
    assert host.do(enforcement.drift()) != ()
    host.do(enforcement.repair())
    assert host.do(enforcement.drift()) == ()
    assert set(host.do(enforcement.counters())) == {
        "denied-ingress",
        "denied-egress",
        "unknown",
        "invalid",
    }


def test_a_choice_that_fails_leaves_the_old_backend_in_force(host, enforcement, monkeypatch):
    host.pod("a", A)
    host.do(enforcement.apply(admission(host)))
    enforcement.choice = "iptables-legacy"
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        with pytest.raises(RulesetError):
            host.do(enforcement.apply(admission(host)))
    assert present(host) == {"nftables"}
    assert asyncio.run(choose("nftables")).title == "nftables"
