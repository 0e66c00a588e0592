"""Has iptables print rules."""

from __future__ import annotations

import asyncio

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError

VANISHED = "in kernel doesn't exist"
"""What iptables says of the number of a set."""
ATTEMPTS = 5
PAUSE_S = 0.02


async def read_rules(*command: str) -> str:
    """Run a command that prints rules. It takes them from the kernel first, and then asks for the
    name of each set that they look up: where somebody has meanwhile removed a rule with its set, it
    fails, and is run again.

    Args:
        command: program and arguments.

    Raises:
        CommandError: it fails otherwise, or every time.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await run(*command)
        except CommandError as error:
            if VANISHED not in error.output:
                raise
        await asyncio.sleep(PAUSE_S)
    return await run(*command)
