"""The store: what wakes the reconciler, and what does not."""

from __future__ import annotations

import asyncio

import pytest

from romana.agent.store import Store
from romana.objects import Namespace, NetworkPolicy, Pod
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.kinds import KINDS, NAMESPACE, POD, POLICY, ROMANA_POLICY


async def woken(store):
    try:
        await asyncio.wait_for(store.changed(), 0.01)
    except asyncio.TimeoutError:
        return False
    return True


async def test_synced_when_every_kind_was_read():
    store = Store()
    for kind in KINDS:
        assert not store.synced
        assert kind.name in store.missing
        store.replace(kind, [], [])
        assert await woken(store)
    assert store.synced


async def test_only_changes_wake():
    store = Store()
    store.replace(POD, [Pod("n", "a")], [])
    assert await woken(store)
    store.put(POD, Pod("n", "a"))
    store.replace(POD, [Pod("n", "a")], [])
    store.remove(POD, ("n", "b"))
    assert not await woken(store)
    store.put(POD, Pod("n", "a", labels={"x": "y"}))
    store.remove(POD, ("n", "a"))
    assert await woken(store)
    assert not await woken(store)


async def test_the_time_of_the_oldest_change_is_told():
    store = Store()
    store.wake()
    assert await store.changed() is None
    store.put(POD, Pod("n", "a"))
    first = asyncio.get_running_loop().time()
    await asyncio.sleep(0.01)
    store.put(POD, Pod("n", "b"))
    assert await store.changed() <= first


def test_snapshots_do_not_change():
    store = Store()
    store.put(POD, Pod("n", "a"))
    store.put(NAMESPACE, Namespace("n"))
    before = store.snapshot()
    store.put(POD, Pod("n", "b"))
    after = store.snapshot()
    assert list(before.pods) == [("n", "a")]
    assert list(after.pods) == [("n", "a"), ("n", "b")]
    assert before.namespaces is after.namespaces


@pytest.mark.parametrize("closed", [None, NetworkPolicy("n", "p", ingress=())])
@pytest.mark.parametrize("relist", [True, False])
def test_what_cannot_be_read_keeps_its_last_state_or_is_closed(closed, relist):
    store = Store()
    good = NetworkPolicy("n", "p", egress=())
    store.replace(POLICY, [good], [])
    error = InvalidObject("NetworkPolicy", "n/p", "spec", "is bad", closed)
    if relist:
        store.replace(POLICY, [], [error])
    else:
        store.refuse(POLICY, error)
    assert store.snapshot().policies[("n", "p")] == (closed or good)
    assert store.refused == (error,)
    store.put(POLICY, good)
    assert store.refused == ()


def test_refused_policies_are_those_that_isolate():
    store = Store()
    isolated = Namespace("n", isolated_by="a")
    errors = [
        InvalidObject("Namespace", "n", "metadata.annotations[a]", "is bad", isolated),
        InvalidObject("NetworkPolicy", "n/p", "spec", "is bad"),
        InvalidObject("RomanaPolicy", "p", "spec", "is bad"),
    ]
    for kind, error in zip((NAMESPACE, POLICY, ROMANA_POLICY), errors, strict=True):
        store.refuse(kind, error)
    store.refuse(POD, InvalidObject("Pod", "n/a", "status", "is bad"))
    assert store.refused_policies == tuple(errors)
    assert store.snapshot().namespaces[("", "n")] == isolated


def test_segment_labels_are_part_of_every_snapshot():
    store = Store(("role",))
    assert store.snapshot().segment_labels == ("role",)
    store.segment_labels = ("tier", "role")
    assert store.snapshot().segment_labels == ("tier", "role")


def test_troubles_come_and_go():
    store = Store()
    store.trouble("watch", SourceError("no"))
    assert [str(problem) for problem in store.problems] == ["no"]
    store.trouble("watch", None)
    assert store.problems == ()


async def test_until_waits_for_what_is_wanted():
    store = Store()

    async def later():
        await asyncio.sleep(0.01)
        store.put(POD, Pod("n", "other"))
        await asyncio.sleep(0.01)
        store.put(POD, Pod("n", "a"))

    task = asyncio.create_task(later())
    assert await asyncio.wait_for(store.until(lambda: store.pod(("n", "a"))), 2) == Pod("n", "a")
    await task
