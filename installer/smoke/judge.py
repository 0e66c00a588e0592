"""From what a probe printed to a verdict. Pure; time comes in as numbers of one clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from installer.smoke.checks import EFFECT_LIMIT_S
from installer.smoke.flows import Expect, Transport

_PEER = re.compile(r"peer=\[?(?:::ffff:)?([0-9a-fA-F.:]+?)\]? server=(\S+)")
_HOP = re.compile(r" \d+ +([0-9a-fA-F.:]+) +[0-9.]+ ms ?(![A-Z0-9<>-]*)?")
_SILENCES = 2
"""Attempts in a row that have to stay without an answer before a flow counts as blocked."""


class Answer(str, Enum):
    """What came back. A denied probe has to time out; a refusal is an answer, and not ours."""

    CONNECTED = "connected"
    SILENCE = "no answer"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    ODD = "not understood"


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt: its number, when its result came (monotonic seconds), what it was. `peer` is the
    client's address as the server saw it, `server` the pod that answered."""

    number: int
    at: float
    answer: Answer
    text: str = ""
    peer: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was observed of one probe, and after how many seconds it was as expected."""

    passed: bool
    observed: str
    seconds: float = 0.0


def sample(transport: Transport, target: str, number: int, at: float, text: str) -> Sample:
    """A probe's raw output (busybox nc, ping or traceroute, on one line) as a sample.

    Args:
        transport: which tool it was.
        target: the address that was dialled.
        number: of the attempt.
        at: when its result came.
        text: the output.
    """
    if transport == "udp":
        answer = _udp(text, target)
    else:
        answer = _tcp(text) if transport == "tcp" else _icmp(text)
    found = _PEER.search(text)
    peer, server = found.groups() if found else ("", "")
    return Sample(number, at, answer, text.replace("\r", ""), peer, server)


def decide(
    expect: Expect,
    samples: Sequence[Sample],
    changed_at: float,
    *,
    source: str = "",
    server: str = "",
    steady: bool = False,
) -> Verdict | None:
    """The verdict on a probe, or None while it is open.

    Args:
        expect: connects, blocked, or that the source address is kept.
        samples: what came so far, also from before the change.
        changed_at: when the change of policy was sent.
        source: the address of the probing pod.
        server: the pod that must answer; empty where any will do.
        steady: blocked before the change as well: it must not connect even once.
    """
    later = [s for s in samples if s.at >= changed_at]
    if expect is Expect.BLOCKED:
        return _blocked(later, changed_at, steady)
    hit = next((s for s in later if s.answer is Answer.CONNECTED), None)
    if hit is None:
        return None
    if server and hit.server != server:
        return Verdict(False, f"another server answered: {hit.server or hit.text}")
    if expect is Expect.SOURCE:
        seen = f"seen as {hit.peer or 'nothing'}"
        own = hit.peer == source
        return Verdict(own, Expect.SOURCE.value if own else f"{seen}, is {source}")
    return _in_time("connected", hit.at - changed_at)


def overdue(expect: Expect, samples: Sequence[Sample], waited_s: float) -> Verdict:
    """The verdict on a probe that is still open when its time is up."""
    if not samples:
        return Verdict(False, f"no result within {waited_s:.1f} s")
    last = samples[-1]
    if expect is Expect.BLOCKED and last.answer is Answer.CONNECTED:
        return Verdict(False, f"still connects {waited_s:.1f} s after the change")
    words = last.answer.value
    if last.answer is Answer.ODD:
        words += f" ({last.text[-80:]})"
    return Verdict(False, f"{words} for {waited_s:.1f} s")


def limited(verdict: Verdict) -> Verdict:
    """The verdict of a timed check: as expected, but too late, is a failure."""
    if verdict.passed and verdict.seconds > EFFECT_LIMIT_S:
        late = f"{verdict.observed}, but only after {verdict.seconds:.1f} s"
        return Verdict(False, late, verdict.seconds)
    return verdict


def _blocked(later: Sequence[Sample], changed_at: float, steady: bool) -> Verdict | None:
    strange = next((s for s in later if s.answer not in (Answer.CONNECTED, Answer.SILENCE)), None)
    if strange is not None:
        return Verdict(False, f"{strange.answer.value} instead of silence: {strange.text[-80:]}")
    connected = [s for s in later if s.answer is Answer.CONNECTED]
    if steady and connected:
        after = connected[0].at - changed_at
        return Verdict(False, f"connected {after:.2f} s after the change")
    last = max((s.number for s in connected), default=-1)
    silent = [s for s in later if s.answer is Answer.SILENCE and s.number > last]
    if len(silent) < _SILENCES:
        return None
    took = max((s.at - changed_at for s in connected), default=0.0)
    return _in_time("no answer", took)


def _in_time(words: str, seconds: float) -> Verdict:
    return Verdict(True, words, max(0.0, seconds))


def _tcp(text: str) -> Answer:
    if "HTTP/1." in text:
        return Answer.CONNECTED
    if "refused" in text:
        return Answer.REFUSED
    if re.search(r"unreachable|No route|prohibited|not permitted", text):
        return Answer.UNREACHABLE
    # An established attempt whose answer is then dropped is ended by our own timeout.
    if not text or "timed out" in text or "Terminated" in text:
        return Answer.SILENCE
    return Answer.ODD


def _icmp(text: str) -> Answer:
    if "1 packets received" in text:
        return Answer.CONNECTED
    if re.search(r"got ICMP|nreachable|not permitted", text):
        return Answer.UNREACHABLE
    return Answer.SILENCE if "0 packets received" in text else Answer.ODD


def _udp(text: str, target: str) -> Answer:
    # Port unreachable is the closed port's own answer; any other kind bears a flag such as !X. An
    # answer of another pod is that to another probe: traceroute takes whatever ICMP it sees.
    found = _HOP.search(text)
    if found and found.group(2):
        return Answer.UNREACHABLE
    if found:
        return Answer.CONNECTED if found.group(1) == target else Answer.SILENCE
    if re.search(r"nreachable|not permitted", text):
        return Answer.UNREACHABLE
    return Answer.SILENCE if "*" in text else Answer.ODD
