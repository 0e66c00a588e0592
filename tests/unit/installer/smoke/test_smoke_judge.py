"""Verdicts: recorded output of busybox' tools, and tables of attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.smoke.flows import Expect
from installer.smoke.judge import Answer, Sample, Verdict, decide, limited, overdue, sample

RECORDED = [
    (
        "tcp",
        "HTTP/1.1 200 OK\r Content-Type: text/plain\r \r peer=[::ffff:10.112.0.7] server=backend-1",
        Answer.CONNECTED,
    ),
    ("tcp", "HTTP/1.0 400 Bad Request\r \r Client sent an HTTP", Answer.CONNECTED),
    ("tcp", "nc: can't connect to remote host (10.1.1.1): Connection refused", Answer.REFUSED),
    ("tcp", "nc: can't connect to remote host (10.1.1.1): No route to host", Answer.UNREACHABLE),
    ("tcp", "nc: can't connect: Network is unreachable", Answer.UNREACHABLE),
    ("tcp", "nc: timed out", Answer.SILENCE),
    ("tcp", "Terminated", Answer.SILENCE),
    ("tcp", "", Answer.SILENCE),
    ("tcp", "sh: nc: not found", Answer.ODD),
    (
        "icmp",
        "PING 10.1.1.1 (10.1.1.1): 56 data bytes 64 bytes from 10.1.1.1: seq=0 ttl=62 time=0.1 ms "
        "--- ping statistics --- 1 packets transmitted, 1 packets received, 0% packet loss",
        Answer.CONNECTED,
    ),
    (
        "icmp",
        "PING 10.1.1.1 (10.1.1.1): 56 data bytes --- 10.1.1.1 ping statistics --- "
        "1 packets transmitted, 0 packets received, 100% packet loss",
        Answer.SILENCE,
    ),
    ("icmp", "PING x: 56 data bytes ping: sendto: Network is unreachable", Answer.UNREACHABLE),
    ("icmp", "ping: permission denied (are you root?)", Answer.ODD),
    ("udp", "traceroute to x, 32 hops 32 10.1.1.1 0.007 ms", Answer.CONNECTED),
    ("udp", "traceroute to x, 32 hops 32 10.1.9.9 0.007 ms !X", Answer.UNREACHABLE),
    ("udp", "traceroute to x, 32 hops 32 *", Answer.SILENCE),
    ("udp", "traceroute to x, 32 hops 32 10.9.9.9 0.007 ms", Answer.SILENCE),  # another's answer
    ("udp", "traceroute: bad address", Answer.ODD),
]  # fmt: skip


@pytest.mark.parametrize(("transport", "text", "answer"), RECORDED)
def test_recorded_output(transport, text, answer) -> None:
    assert sample(transport, "10.1.1.1", 1, 0.0, text).answer is answer


def test_answer_tells_peer_and_server() -> None:
    found = sample("tcp", "10.1.1.1", 1, 0.0, RECORDED[0][1])
    assert (found.peer, found.server) == ("10.112.0.7", "backend-1")


def series(text: str, step: float = 0.1) -> list[Sample]:
    """Attempts as letters: c connected, s silence, r refused; one each `step`, from -0.2 on."""
    answers = {"c": Answer.CONNECTED, "s": Answer.SILENCE, "r": Answer.REFUSED}
    return [
        Sample(i, -0.2 + i * step, answers[letter], letter, "10.0.0.1", "backend-1")
        for i, letter in enumerate(text)
        if letter in answers
    ]


@pytest.mark.parametrize(
    ("expect", "text", "steady", "passed", "seconds"),
    [
        (Expect.CONNECTS, "ss", False, None, 0),
        (Expect.CONNECTS, "sssc", False, True, 0.1),
        (Expect.CONNECTS, "cc", False, None, 0),  # both before the change
        (Expect.CONNECTS, "ccc", False, True, 0),
        (Expect.CONNECTS, "..rrc", False, True, 0.2),
        (Expect.BLOCKED, "ccccs", False, None, 0),  # one silence may be a lost packet
        (Expect.BLOCKED, "ccccss", False, True, 0.1),
        (Expect.BLOCKED, "..ss", False, True, 0),
        (Expect.BLOCKED, "..ss", True, True, 0),
        (Expect.BLOCKED, "..css", True, False, 0),  # blocked before and after, open in between
        (Expect.BLOCKED, "..sr", False, False, 0),  # a refusal is no silence
        (Expect.BLOCKED, "", False, None, 0),
    ],
)
def test_decision(expect, text, steady, passed, seconds) -> None:
    verdict = decide(expect, series(text), 0.0, steady=steady)
    assert (verdict and verdict.passed) == passed
    if verdict:
        assert verdict.seconds == pytest.approx(seconds)


def test_another_server_is_told() -> None:
    verdict = decide(Expect.CONNECTS, series("..c"), 0.0, server="backend-2")
    assert verdict == Verdict(False, "another server answered: backend-1")


def test_source_address() -> None:
    kept = decide(Expect.SOURCE, series("..c"), 0.0, source="10.0.0.1")
    lost = decide(Expect.SOURCE, series("..c"), 0.0, source="10.0.0.2")
    assert kept is not None
    assert kept.passed
    assert lost is not None
    assert lost.observed == "seen as 10.0.0.1, is 10.0.0.2"


def test_too_late_is_a_failure_with_its_time() -> None:
    verdict = limited(Verdict(True, "no answer", 2.3))
    assert verdict == Verdict(False, "no answer, but only after 2.3 s", 2.3)
    assert limited(Verdict(True, "no answer", 1.9)).passed


@pytest.mark.parametrize(
    ("expect", "text", "observed"),
    [
        (Expect.BLOCKED, "ccc", "still connects 6.0 s after the change"),
        (Expect.CONNECTS, "sss", "no answer for 6.0 s"),
        (Expect.CONNECTS, "srr", "refused for 6.0 s"),
        (Expect.CONNECTS, "", "no result within 6.0 s"),
    ],
)
def test_overdue(expect, text, observed) -> None:
    assert overdue(expect, series(text), 6.0) == Verdict(False, observed)


@given(st.text(alphabet="csr", max_size=12), st.booleans())
def test_blocked_never_passes_while_the_last_word_is_an_answer(text, steady) -> None:
    verdict = decide(Expect.BLOCKED, series(".." + text), 0.0, steady=steady)
    if verdict and verdict.passed:
        assert text.endswith("ss")
        assert "r" not in text
        assert not (steady and "c" in text)
