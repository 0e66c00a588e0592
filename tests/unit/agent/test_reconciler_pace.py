"""Changes are carried out at once after quiet, together under churn, and without rest where
somebody waits."""

import asyncio
import time
from contextlib import asynccontextmanager

from romana.agent.metrics import Metrics
from romana.agent.reconciler import Reconciler
from romana.agent.store import Store
from romana.ipam.leases import Leases
from romana.objects import Pod
from romana.sources.kinds import BY_TYPE, KINDS

POD = BY_TYPE["v1", "Pod"]


class SlowKernel:
    """Takes a time for each round, and remembers what it was given."""

    def __init__(self, work_s):
        self.work_s = work_s
        self.rounds = []

    async def enforce(self, snapshot, endpoints, admission, *, audit):
        await asyncio.sleep(self.work_s)
        self.rounds.append((time.monotonic(), len(snapshot.pods)))
        return True


@asynccontextmanager
async def reconciling(work_s):
    store, leases, kernel = Store(), Leases(":memory:"), SlowKernel(work_s)
    for kind in KINDS:
        store.replace(kind, [], [])
    loop = Reconciler(store=store, leases=leases, kernel=kernel, metrics=Metrics())
    running = asyncio.create_task(loop.run())
    await loop.enforced()
    try:
        yield store, kernel, loop
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        leases.close()


def put(store, number):
    store.put(POD, Pod(namespace="x", name=str(number)))


async def until(condition):
    async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else _no_limit():
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def _no_limit():
    yield


async def test_under_churn_it_works_at_most_half_of_the_time():
    async with reconciling(0.03) as (store, kernel, _):
        before, began, number = len(kernel.rounds), time.monotonic(), 0
        while time.monotonic() - began < 0.6:
            put(store, number)
            number += 1
            await asyncio.sleep(0.002)
        await until(lambda: kernel.rounds[-1][1] == number)
        rounds = len(kernel.rounds) - before
        # Each takes at least 30 ms and rests as long; the last one may be a round of its own.
        assert rounds <= (time.monotonic() - began) / 0.06 + 2
        assert number > 2 * rounds


async def test_what_somebody_waits_for_does_not_rest(monkeypatch):
    monkeypatch.setattr("romana.agent.reconciler.REST_S", 60)
    async with reconciling(0) as (store, kernel, loop):
        kernel.work_s = 1.0
        put(store, 1)
        await until(lambda: kernel.rounds[-1][1] == 1)
        kernel.work_s = 0
        put(store, 2)
        began = time.monotonic()
        await loop.enforced()
        assert time.monotonic() - began < 0.9, "it rested, as long as it had worked before"
        assert kernel.rounds[-1][1] == 2
