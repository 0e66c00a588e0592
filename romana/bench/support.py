"""Whether this machine has what a run needs: tried before anything is made."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

from romana.bench.errors import BenchError
from romana.bench.planes import Plane, iptables
from romana.dataplane.backends import choose
from romana.dataplane.errors import RulesetError
from romana.dataplane.trial import try_nftables
from romana.lab.command import LabError

TOOLS = ("ip", "nft")
"""Without which there are no testbeds at all."""


def require(planes: Sequence[Plane]) -> None:
    """Try it.

    Args:
        planes: the data planes that are to be measured.

    Raises:
        BenchError: which of them cannot be, and why.
    """
    missing = [each for each in TOOLS if shutil.which(each) is None]
    if missing:
        raise BenchError(f"{' and '.join(missing)} cannot be found: install nftables and iproute2")
    asyncio.run(_require(planes))


async def _require(planes: Sequence[Plane]) -> None:
    # The bench's own rules, and the testbeds' first ones, are of nftables.
    trial = await try_nftables()
    if not trial.works:
        raise BenchError(f"this kernel has no support for what is measured: {trial.reason}")
    for each in planes:
        try:
            if each.backend:
                await choose(each.backend)
            elif each.iptables:
                iptables()
        except (RulesetError, LabError) as error:
            option = "--backends" if each.backend else "--baselines"
            raise BenchError(f"{option} {each.name}: {error}") from error
