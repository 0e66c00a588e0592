"""The table of nftables in the kernel: differences, failure, drift, notifications."""

import asyncio
import os
import re
import shutil
import socket

import pytest

from romana.dataplane import (
    NETFILTER,
    Listener,
    Overflowed,
    Ruleset,
    RulesetChanged,
    RulesetError,
    Settings,
    difference,
)
from romana.dataplane.ruleset import Chain
from romana.policy.admission import (
    Admission,
    Direction,
)

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
A, B = "10.112.0.5", "10.112.0.6"
QUICK_S = 0.4
CIDRS = ("10.0.0.0/9", "10.128.0.0/9", "fd00::/16", "198.18.0.1")


def test_one_more_grant_touches_one_element(host):
    host.pod("a", A)
    grants = [host.grant(f"10.0.{at}.1/32", 6, 80) for at in range(200)]
    host.isolate("a", ingress=host.program("p", INGRESS, *grants))
    host.enforce()
    before = host.ruleset
    host.isolate("a", ingress=host.program("p", INGRESS, *grants, host.grant("10.1.0.1/32", 6, 80)))
    host.enforce()
    text = difference(before, host.ruleset)
    assert text == "add element inet romana in-p-host-ports4 { 10.1.0.1 . 6 . 80 }\n"


def test_tables_of_others_are_left_alone(host):
    foreign = "table inet other { chain c { type filter hook forward priority 5; }; }"
    host.namespace.run("nft", "-f", "-", stdin=foreign)
    before = host.namespace.run("nft", "list", "ruleset")
    host.pod("a", A)
    host.enforce()
    host.do(host.backend.replace(host.ruleset))
    host.do(host.backend.remove())
    assert host.namespace.run("nft", "list", "ruleset") == before
    assert host.do(host.backend.read_back()) is None
    host.do(host.backend.remove())


def test_a_refused_table_leaves_the_old_one_in_force(host):
    host.pod("a", A)
    host.enforce()
    before = host.do(host.backend.read_back())
    broken = Ruleset(
        sets=host.ruleset.sets,
        chains={**host.ruleset.chains, "bad": Chain(rules=("nonsense",))},
        counters=host.ruleset.counters,
    )
    with pytest.raises(RulesetError, match="syntax error"):
        host.do(host.backend.apply(broken))
    assert host.do(host.backend.read_back()) == before
    assert not host.do(host.backend.apply(host.ruleset))  # it is in force still


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("delete table inet romana", "table romana: missing"),
        ("flush ruleset", "table romana: missing"),
        ("flush chain inet romana to-pod", "chain to-pod: missing"),
        ("add rule inet romana forward accept", "chain forward: foreign"),
        ("insert rule inet romana in-p accept", "chain in-p: foreign"),
        ("flush set inet romana in-p-hosts4", "set in-p-hosts4: missing 10.112.0.6"),
        (
            "add element inet romana in-p-hosts4 { 10.9.9.9 }",
            "set in-p-hosts4: foreign 10.9.9.9",
        ),
        (
            'delete element inet romana ingress4 { "rom000000000000" . 10.112.0.5 }',
            'set ingress4: missing "rom000000000000" . 10.112.0.5 : goto in-p',
        ),
        ("add chain inet romana more", "chain more: foreign"),
        ("add set inet romana more { type ipv4_addr; }", "set more: foreign"),
        (
            "add map inet romana more { type ether_addr . mark : mark; "
            "elements = { 02:00:00:00:00:01 . 1 : 7 }; }",
            "set more: foreign",
        ),
        ("add table inet romana { flags dormant; }", "table romana: foreign flag"),
    ],
    ids=str,
)
def test_drift_is_noticed_told_and_repaired(host, damage, said):
    host.pod("a", A)
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant(f"{B}/32")))
    host.enforce()
    listener = host.namespace.inside(lambda: Listener(NETFILTER))
    host.namespace.run("nft", damage)
    told = listener.receive()
    listener.close()
    assert [type(each) for each in told] == [RulesetChanged]
    assert told[0].process == "nft"
    assert told[0].tables == {"inet romana"}
    assert str(told[0]).startswith("inet romana changed by nft, pid ")
    assert not host.backend.own(told[0])
    assert said in "\n".join(map(str, host.do(host.backend.drift(host.ruleset))))
    host.do(host.backend.replace(host.ruleset))
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_drift_is_not_read_again_while_nobody_changed_anything(host, monkeypatch):
    host.pod("a", A)
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()
    readings = []
    read = host.backend._print

    async def reading():
        readings.append(1)
        return await read()

    monkeypatch.setattr(host.backend, "_print", reading)
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()
    assert readings == []
    host.namespace.run("nft", "flush chain inet romana to-pod")
    assert host.do(host.backend.drift(host.ruleset)) != ()
    assert host.do(host.backend.drift(host.ruleset)) != ()
    assert len(readings) == 2


def test_own_changes_are_known_as_own(host):
    host.pod("a", A)
    listener = host.namespace.inside(lambda: Listener(NETFILTER))
    host.enforce()  # all that is looked up, then what begins to
    host.isolate("a", ingress=host.program("p", INGRESS))
    host.enforce()  # the program, then that it judges the pod
    host.namespace.run("nft", "add table ip other")
    told = listener.receive()
    listener.close()
    assert [(each.tables, host.backend.own(each)) for each in told] == [
        *[({"inet romana"}, True)] * 4,
        ({"ip other"}, False),
    ]


def test_an_overflow_is_told(host):
    listener = host.namespace.inside(lambda: Listener(NETFILTER))
    listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for number in range(200):
        host.namespace.run("nft", f"add table ip other{number}")
    assert Overflowed() in listener.receive()
    listener.close()


@pytest.fixture
def faulty_nft(tmp_path, monkeypatch):
    """An nft that does what is said before it becomes the real one."""
    script, calls = tmp_path / "nft", tmp_path / "calls"

    def arrange(fault):
        calls.write_text("")
        script.write_text(
            f'#!/bin/sh\necho >> {calls}\ncalls=$(wc -l < {calls})\n{fault}\nexec {real} "$@"\n'
        )
        script.chmod(0o755)
        return calls

    real = shutil.which("nft")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return arrange


def test_a_failure_that_passes_is_tried_again(host, faulty_nft):
    host.pod("a", A)
    calls = faulty_nft("[ $calls -gt 2 ] || { echo busy >&2; exit 1; }")
    host.enforce()
    assert len(calls.read_text()) == 3
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_a_failure_that_stays_is_told_and_leaves_the_old_table(host, faulty_nft):
    host.pod("a", A)
    host.enforce()
    before = host.do(host.backend.read_back())
    host.renderer.settings = Settings(masquerade=False)  # what is not written without nft
    calls = faulty_nft("echo out of luck >&2; exit 1")
    with pytest.raises(RulesetError, match="refused table inet romana 3 times: .*out of luck"):
        host.enforce()
    assert len(calls.read_text()) == 4, "one difference, three replacements"
    faulty_nft("")
    assert host.do(host.backend.read_back()) == before
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_an_nft_that_hangs_is_killed_and_what_it_did_is_not_trusted(host, faulty_nft, monkeypatch):
    host.pod("a", A)
    host.enforce()
    monkeypatch.setattr("romana.dataplane.backend.COMMIT_TIMEOUT_S", 0.2)
    host.renderer.settings = Settings(masquerade=False)
    faulty_nft("exec sleep 60")
    with pytest.raises(RulesetError, match="took more than 0.2 s"):
        host.enforce()
    monkeypatch.undo()
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_a_change_that_is_cancelled_leaves_nothing_in_doubt(host, faulty_nft):
    host.pod("a", A)
    host.enforce()
    host.renderer.settings = Settings(masquerade=False)
    faulty_nft("exec sleep 60")

    async def cancelled():
        wanted = host.renderer.render(Admission())
        change = asyncio.create_task(host.backend.apply(wanted))
        await asyncio.sleep(0.1)
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
        assert change.cancelled()

    host.do(cancelled())
    faulty_nft("")
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_a_new_agent_changes_the_table_that_is_there(host, faulty_nft):
    """It does not replace it, which would empty the maps under those who read them."""
    host.pod("a", A)
    host.pod("b", B)
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant(f"{B}/32")))
    host.enforce()
    listing = ("nft", "-a", "list", "map", "inet", "romana", "egress4")
    before = re.findall(r"handle \d+", host.namespace.run(*listing))
    host.backend = host.fresh()
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant(f"{B}/32", 6, 80)))
    host.isolate("b", egress=host.program("q", EGRESS, *map(host.grant, CIDRS)))
    calls = faulty_nft("")
    host.enforce()
    assert len(calls.read_text()) == 2, "one reads the table, one prints what it should be"
    assert host.do(host.backend.drift(host.ruleset)) == ()
    after = re.findall(r"handle \d+", host.namespace.run(*listing))
    assert before
    assert after == before
