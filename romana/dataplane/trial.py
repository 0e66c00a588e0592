"""Whether this host does what our rules need: it is tried, in a network namespace made for it.

A program that is not there, or a kernel that refuses, is one thing; a machine that has no memory or
no time at this moment is another: that says nothing about nftables, and is tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from ipaddress import ip_address

from romana.dataplane import nftables
from romana.dataplane.commands import Timeout, run
from romana.dataplane.denials import DenialLog
from romana.dataplane.errors import CommandError
from romana.dataplane.nftables import INTERFACE_PREFIX, Settings
from romana.dataplane.ruleset import creation
from romana.dataplane.xtables import tables
from romana.dataplane.xtables.tools import Tools
from romana.dataplane.xtables.variant import Variant, families
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

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


async def try_log(variant: Variant | None, wanted: DenialLog) -> Trial:
    """Load rules that tell of denied packets.

    Args:
        variant: the iptables that enforces policies; None where nftables does.
        wanted: what they are to tell.
    """
    settings = Settings(denial_log=wanted)
    try:
        if variant:
            tools = Tools(variant, started=lambda _: None)
            await tools.printed(tables.render(_sample(), settings), families())
        else:
            sample = creation(nftables.render(_sample(), settings).structure())
            await run("unshare", "--net", "nft", "-f", "-", text=sample, timeout_s=LIMIT_S)
    except CommandError as error:
        return Trial(works=False, certain=not may_pass(error), reason=str(error))
    return Trial(works=True, certain=True)


class LogTrial:
    """Remembers what came of trying, so that it is done once for each wish. `fault` is why the
    last one cannot be fulfilled; empty where it can."""

    def __init__(self) -> None:
        self.fault = ""
        self._tried: tuple[Variant | None, DenialLog] | None = None
        self._reduced: tuple[Settings, Settings] | None = None

    async def possible(self, settings: Settings, variant: Variant | None) -> Settings:
        """Settings, as far as this host can do them: that it has no log of netfilter must not keep
        policies from being enforced.

        Args:
            settings: as they are wanted.
            variant: the iptables that enforces policies; None where nftables does.
        """
        wanted = settings.denial_log
        if wanted is None:
            self.fault, self._tried = "", None
        elif self._tried != (variant, wanted):
            trial = await try_log(variant, wanted)
            self.fault = trial.reason
            self._tried = (variant, wanted) if trial.certain else None
        if not self.fault:
            return settings
        if self._reduced is None or self._reduced[0] is not settings:
            self._reduced = (settings, replace(settings, denial_log=None))
        return self._reduced[1]


def _sample() -> Admission:
    """A pod, and programs with a set of every kind."""
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
    addresses = (ip_address("192.0.2.1"), ip_address("2001:db8::1"))
    pod = Endpoint(interface=f"{INTERFACE_PREFIX}0", addresses=addresses, pod=("sample", "sample"))
    return Admission(
        endpoints={pod.interface: EndpointPrograms(endpoint=pod)},
        programs={each.name: each for each in programs},
    )
