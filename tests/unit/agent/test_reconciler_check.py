"""Beside its rounds the reconciler compiles everything anew and compares."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
from prometheus_client import generate_latest

from romana.agent.metrics import Metrics
from romana.agent.reconciler import Reconciler
from romana.agent.store import Store
from romana.ipam.leases import Leases
from romana.objects import Pod
from romana.policy.admission import Admission
from romana.policy.compile import compile_admission
from romana.sources.kinds import BY_TYPE, KINDS

POD = BY_TYPE["v1", "Pod"]


class Kernel:
    """Remembers what it was given."""

    def __init__(self):
        self.given = []

    async def enforce(self, snapshot, endpoints, admission, *, audit):
        self.given.append((len(snapshot.pods), admission, audit))
        return True


@pytest.fixture(autouse=True)
def at_every_audit(monkeypatch):
    monkeypatch.setattr("romana.agent.reconciler.CHECK_S", 0)


@asynccontextmanager
async def reconciling():
    store, leases, kernel, metrics = Store(), Leases(":memory:"), Kernel(), Metrics()
    for kind in KINDS:
        store.replace(kind, [], [])
    loop = Reconciler(store=store, leases=leases, kernel=kernel, metrics=metrics)
    running = [asyncio.create_task(each) for each in (loop.run(), loop.check())]
    await loop.enforced()
    try:
        yield store, kernel, loop, metrics
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        leases.close()


async def until(condition):
    async def poll():
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(poll(), 60)


async def test_what_was_compiled_wrongly_is_compiled_anew(monkeypatch):
    async with reconciling() as (_, kernel, loop, metrics):
        wrong = Admission(endpoints={"rom0": None})
        compiled, asked = loop._compiler.compile, []

        def miscompile(snapshot, endpoints, changed):
            asked.append(changed)
            return compiled(snapshot, endpoints, changed) if changed is None else wrong

        monkeypatch.setattr(loop._compiler, "compile", miscompile)
        loop.audit()
        await until(lambda: None in asked)
        await until(lambda: kernel.given[-1][1] == Admission())
        assert wrong in [admission for _, admission, _ in kernel.given]
        assert b"romana_miscompiled_total 1.0" in generate_latest(metrics.registry)


async def test_no_change_waits_for_the_check(monkeypatch):
    begun, go_on, checked = threading.Event(), threading.Event(), []

    def slowly(snapshot, endpoints):
        begun.set()
        assert go_on.wait(60)
        checked.append(len(snapshot.pods))
        return compile_admission(snapshot, endpoints)

    monkeypatch.setattr("romana.agent.reconciler.compile_admission", slowly)
    async with reconciling() as (store, kernel, loop, metrics):
        loop.audit()
        await until(begun.is_set)
        for number in range(3):
            store.put(POD, Pod(namespace="x", name=str(number)))
            await loop.enforced()
        assert not checked
        assert kernel.given[-1][0] == 3
        go_on.set()
        await until(lambda: checked)
        assert checked == [0], "the check is of what was in force when it was called for"
        assert b"romana_miscompiled_total 0.0" in generate_latest(metrics.registry)
