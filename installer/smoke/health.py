"""The kubelet's probes while policies deny everything: ready all the time, no restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from installer.smoke import scripts
from installer.smoke.judge import Verdict
from installer.smoke.stage import Stage, ready_since, restarts

_PERIODS = 4
"""Each with a readiness and a liveness probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Backends at one moment, by name: since when they are ready, how often they were restarted,
    how many of the kubelet's probes they have answered."""

    at: float
    ready: Mapping[str, str]
    restarts: Mapping[str, int]
    answered: Mapping[str, int]


async def look(stage: Stage) -> Health:
    """The backends' health now."""
    names = [pod.name for pod in stage.pods if pod.actor == "backend"]
    counts = await asyncio.gather(*(stage.shells[name].ask(scripts.PROBES) for name in names))
    states = await stage.states()
    return Health(
        at=time.monotonic(),
        ready={name: ready_since(states.get(name, {})) for name in names},
        restarts={name: restarts(states.get(name, {})) for name in names},
        answered=dict(zip(names, map(int, counts), strict=True)),
    )


async def kept(stage: Stage, before: Health) -> Verdict:
    """Waits until several periods have passed since `before`, and compares."""
    pace = stage.pace
    enough = before.at + _PERIODS * pace.period_s
    while time.monotonic() < enough:
        await asyncio.sleep(pace.tick_s)
    now = await look(stage)
    while _fewest(before, now) < _PERIODS and now.at < before.at + pace.phase_limit_s:
        await asyncio.sleep(pace.poll_s)
        now = await look(stage)
    return compare(before, now)


def compare(before: Health, now: Health) -> Verdict:
    """The verdict on two moments between which everything was denied."""
    troubles = []
    for name in before.ready:
        if not now.ready[name]:
            troubles.append(f"{name} is not ready")
        elif now.ready[name] != before.ready[name]:
            troubles.append(f"{name} was not ready for a while")
        if now.restarts[name] != before.restarts[name]:
            troubles.append(f"{name} was restarted")
    fewest = _fewest(before, now)
    if fewest < _PERIODS:
        troubles.append(f"only {fewest} probes were answered")
    if troubles:
        return Verdict(False, "; ".join(troubles))
    return Verdict(True, f"{fewest} passed each")


def _fewest(before: Health, now: Health) -> int:
    return min(now.answered[name] - before.answered[name] for name in before.answered)
