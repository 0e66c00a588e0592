"""Whether nftables does here what our table needs: it is tried, in a network namespace made for it.

A program that is not there, or a kernel that refuses, is one thing; a machine that has no memory or
no time at this moment is another: that says nothing about nftables, and is tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from romana.dataplane import nftables
from romana.dataplane.commands import Timeout, run
from romana.dataplane.errors import CommandError
from romana.dataplane.nftables import Settings
from romana.dataplane.ruleset import creation
from romana.policy.admission import Admission, Direction, Grant, Program

ATTEMPTS = 3
PAUSE_S = 0.2
LIMIT_S = 10.0
NOT_EXECUTED = 127
"""What `unshare` exits with where the program that it is to start is not there."""
PASSING = (
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Device or resource busy",
    "Interrupted system call",
    "No buffer space available",
    "No space left on device",
    "Too many open files",
    "Text file busy",
)
"""What the system says where it could not do something just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of trying nftables.

    Args:
        works: whether it does what our table needs.
        certain: whether a further try would tell the same.
        reason: why it does not work, or could not be told; empty where it works.
    """

    works: bool
    certain: bool
    reason: str = ""


def may_pass(error: CommandError) -> bool:
    """Whether a failure is one of the moment. Pure."""
    killed = error.code is not None and error.code < 0
    return isinstance(error, Timeout) or killed or any(each in str(error) for each in PASSING)


def absent(error: CommandError) -> bool:
    """Whether a program is not there. Pure."""
    missing = error.code in (None, NOT_EXECUTED) and "No such file or directory" in str(error)
    return missing and not isinstance(error, Timeout)


async def try_nftables(attempts: int = ATTEMPTS) -> Trial:
    """Load sets of every kind, with every rule. A failure counts only where it comes again."""
    sample = creation(nftables.render(_sample(), Settings()).structure())
    failures: list[CommandError] = []
    for attempt in range(1, attempts + 1):
        try:
            await run("unshare", "--net", "nft", "-f", "-", text=sample, timeout_s=LIMIT_S)
        except CommandError as error:
            failures.append(error)
            if absent(error):
                return Trial(works=False, certain=True, reason=str(error))
            if attempt < attempts:
                await asyncio.sleep(PAUSE_S * attempt)
        else:
            return Trial(works=True, certain=True)
    certain = not any(map(may_pass, failures))
    return Trial(works=False, certain=certain, reason=str(failures[-1]))


def _sample() -> Admission:
    """Programs with a set of every kind."""
    shapes = ((0, 0, 65535), (6, 0, 65535), (17, 53, 53), (132, 80, 90))
    grants = frozenset(
        Grant(family, low, high, *traffic)
        for family in (4, 6)
        for at, traffic in enumerate(shapes)
        for low, high in ((at * 256 + 1, at * 256 + 1), (at * 256 + 2, at * 256 + 9))
    )
    programs = (
        Program(name=f"sample-{each.value}", direction=each, policies=(), grants=grants)
        for each in Direction
    )
    return Admission(programs={each.name: each for each in programs})
