"""Long-lived connections that count: what both ends saw before and after a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from installer.kubernetes import Shell
from installer.smoke import scripts
from installer.smoke.judge import Verdict, limited
from installer.smoke.pace import Pace
from installer.smoke.placement import Addresses, Probe, destination

_ESTABLISHED = 3
"""Numbers that have to come back before a connection counts as established."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """One connection; `heard` are the times and numbers that came back to the client."""

    probe: Probe
    shells: Mapping[str, Shell]
    pace: Pace
    heard: list[tuple[float, int]] = field(default_factory=list)

    async def open(self, addresses: Addresses) -> None:
        """Starts it and waits until it counts, or until the limit."""
        address, port = destination(self.probe, addresses)
        shell = self.shells[self.probe.source.name]
        shell.listen(self.probe.id, lambda at, text: self.heard.append((at, int(text))))
        await shell.send(scripts.count(self.probe.id, address, port))
        deadline = time.monotonic() + self.pace.control_limit_s
        while len(self.heard) < _ESTABLISHED and time.monotonic() < deadline:
            await asyncio.sleep(self.pace.tick_s)

    async def cut(self, changed_at: float) -> Verdict:
        """Waits until nothing comes back any more, then looks twice at both ends: the client still
        sends, and the server receives no more."""
        if len([at for at, _ in self.heard if at < changed_at]) < _ESTABLISHED:
            return Verdict(False, "the connection was not established before the change")
        while time.monotonic() - self.heard[-1][0] < self.pace.quiet_s:
            waited = time.monotonic() - changed_at
            if waited > self.pace.phase_limit_s:
                return Verdict(False, f"still counts {waited:.1f} s after the change")
            await asyncio.sleep(self.pace.tick_s)
        first, _ = await self._ends()
        await asyncio.sleep(self.pace.quiet_s / 3)
        second, sent = await self._ends()
        last_at, last = self.heard[-1]
        stopped = first == second and sent > second
        observed = f"{second} of {sent} passed"
        if not stopped:
            observed = f"client sent {sent}, server received {second}, client heard {last}"
        return limited(Verdict(stopped, observed, max(0.0, last_at - changed_at)))

    async def close(self) -> None:
        """Has the client stop counting."""
        await self.shells[self.probe.source.name].send(scripts.stop(self.probe.id))

    async def _ends(self) -> tuple[int, int]:
        """The last number that the server received, and the last that the client sent."""
        received, sent = await asyncio.gather(
            self.shells[self.probe.target.name].ask(scripts.RECEIVED),
            self.shells[self.probe.source.name].ask(scripts.sent(self.probe.id)),
        )
        return int(received or 0), int(sent or 0)
