"""List and watch against an HTTP server that behaves as the API does: pages, bookmarks, 410 Gone,
restarts."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from romana.agent.store import Store
from romana.sources.api import Api, ApiAddress, ApiError
from romana.sources.kinds import BLOCK, KINDS, POD, POLICY
from romana.sources.kubernetes import Backoff, Follower, KubernetesSource


def pod(name, version, **labels):
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "labels": labels,
            "resourceVersion": str(version),
        },
        "spec": {"nodeName": "one", "containers": [{"image": "x" * 300_000}]},
        "status": {"podIPs": [{"ip": f"10.0.0.{version}"}]},
    }


class FakeApi:
    """The API of one cluster: the pods it lists, and what its watches say next."""

    def __init__(self):
        self.pods = [pod(f"p{index}", index, app="a") for index in range(1, 6)]
        self.page = 2
        self.version = 10
        self.lists = 0
        self.watches = []
        self.feeds = asyncio.Queue()
        self.refusal = None

    async def serve(self, request):
        if self.refusal:
            status, reason = self.refusal
            return web.json_response(
                {"code": status, "reason": reason, "message": "no"}, status=status
            )
        if request.method == "POST":
            body = await request.json()
            if body["metadata"]["name"] == "taken":
                taken = {"code": 409, "reason": "AlreadyExists", "message": "it is taken"}
                return web.json_response(taken, status=409)
            return web.json_response(body, status=201)
        if "watch" in request.query:
            return await self.watch(request)
        items = self.pods if request.path.endswith("/pods") else []
        if request.path.endswith("/pods"):
            self.lists += 1
        first = int(request.query.get("continue") or 0)
        more = str(first + self.page) if first + self.page < len(items) else ""
        metadata = {"resourceVersion": str(self.version), "continue": more}
        return web.json_response(
            {"metadata": metadata, "items": items[first : first + self.page] or None}
        )

    async def watch(self, request):
        stream = web.StreamResponse()
        await stream.prepare(request)
        if not request.path.endswith("/pods"):
            await asyncio.sleep(60)
            return stream
        self.watches.append(request.query["resourceVersion"])
        while (event := await self.feeds.get()) is not None:
            line = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
            await stream.write(line)
        return stream


@asynccontextmanager
async def serving(fake):
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    api = Api(ApiAddress(servers=(f"http://127.0.0.1:{port}",)))
    try:
        yield api
    finally:
        await api.close()
        await runner.cleanup()


@asynccontextmanager
async def following(fake, kind=POD):
    store = Store()
    async with serving(fake) as api:
        task = asyncio.create_task(Follower(api, store, kind).run())
        try:
            yield store
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(store, condition, limit_s=5):
    await asyncio.wait_for(store.until(lambda: condition() or None), limit_s)


def names(store):
    return sorted(name for _, name in store.snapshot().pods)


async def test_lists_in_pages_then_watches_from_there():
    fake = FakeApi()
    async with following(fake) as store:
        await until(store, lambda: names(store) == ["p1", "p2", "p3", "p4", "p5"])
        await fake.feeds.put({"type": "ADDED", "object": pod("p6", 11)})
        await fake.feeds.put({"type": "MODIFIED", "object": pod("p1", 12, app="b")})
        await fake.feeds.put({"type": "DELETED", "object": pod("p2", 13)})
        await until(store, lambda: names(store) == ["p1", "p3", "p4", "p5", "p6"])
        assert store.snapshot().pods[("n", "p1")].labels == {"app": "b"}
        assert fake.watches == ["10"]


async def test_resumes_where_it_was_after_the_server_ends_the_watch():
    fake = FakeApi()
    async with following(fake) as store:
        bookmark = {"kind": "Pod", "metadata": {"resourceVersion": "40"}}
        await fake.feeds.put({"type": "BOOKMARK", "object": bookmark})
        await fake.feeds.put(None)
        await fake.feeds.put({"type": "ADDED", "object": pod("p7", 41)})
        await until(store, lambda: "p7" in names(store))
        assert fake.watches == ["10", "40"]
        assert fake.lists == 3  # the pages of the one list


@pytest.mark.parametrize(
    "event",
    [
        {
            "type": "ERROR",
            "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
        },
        b"this is no JSON\n",
    ],
)
async def test_lists_again_when_the_version_is_gone(event):
    fake = FakeApi()
    async with following(fake) as store:
        await until(store, lambda: len(names(store)) == 5)
        fake.pods, fake.version = fake.pods[:1], 50
        await fake.feeds.put(event)
        await until(store, lambda: names(store) == ["p1"])
        await fake.feeds.put({"type": "ADDED", "object": pod("p8", 51)})
        await until(store, lambda: names(store) == ["p1", "p8"])
        assert fake.watches == ["10", "50"]


async def test_reports_a_refusal_and_goes_on_when_it_is_over():
    fake = FakeApi()
    fake.refusal = (403, "Forbidden")
    async with following(fake) as store:
        while not store.problems:
            await asyncio.sleep(0.01)
        assert "watch of pods: http://127.0.0.1" in str(store.problems[0])
        assert "answered 403: no" in str(store.problems[0])
        assert POD.name in store.missing
        fake.refusal = None
        await until(store, lambda: len(names(store)) == 5)
        while store.problems:
            await asyncio.sleep(0.01)


async def test_an_object_that_cannot_be_read_does_not_spoil_the_others():
    fake = FakeApi()
    fake.pods[1]["status"] = {"podIPs": [{"ip": "not an address"}]}
    async with following(fake) as store:
        await until(store, lambda: names(store) == ["p1", "p3", "p4", "p5"])
        assert [error.name for error in store.refused] == ["n/p2"]
        await fake.feeds.put({"type": "MODIFIED", "object": pod("p2", 20)})
        await until(store, lambda: "p2" in names(store))
        assert store.refused == ()


async def test_all_kinds_are_read_before_the_store_is_synced():
    store, fake = Store(), FakeApi()
    async with serving(fake) as api:
        task = asyncio.create_task(KubernetesSource(api, store).run())
        await until(store, lambda: store.synced)
        assert store.missing == ()
        assert store.counts() == {kind.name: 5 if kind is POD else 0 for kind in KINDS}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_next_server_is_asked_when_one_is_gone():
    fake = FakeApi()
    async with serving(fake) as api:
        gone = Api(ApiAddress(servers=("http://127.0.0.1:1", api.server)))
        with pytest.raises(ApiError, match="127.0.0.1:1 cannot be reached: Connection refused"):
            await gone.get("/api/v1/pods", {})
        assert b"p1" in await gone.get("/api/v1/pods", {})
        await gone.close()


async def test_a_server_that_fails_is_passed_over():
    fake, sound = FakeApi(), FakeApi()
    fake.refusal = (503, "ServiceUnavailable")
    async with serving(fake) as failing, serving(sound) as working:
        api = Api(ApiAddress(servers=(failing.server, working.server)))
        results = await asyncio.gather(
            *(api.get("/api/v1/pods", {}) for _ in range(4)), return_exceptions=True
        )
        assert all(isinstance(result, ApiError) for result in results)
        assert api.server == working.server  # and not passed over four times
        await api.close()


async def test_creating_says_when_the_name_is_taken():
    fake = FakeApi()
    async with serving(fake) as api:
        await api.create(BLOCK.path, {"metadata": {"name": "free"}})
        with pytest.raises(ApiError) as caught:
            await api.create(BLOCK.path, {"metadata": {"name": "taken"}})
        assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")


def test_paths():
    assert POD.path == "/api/v1/pods"
    assert POLICY.path == "/apis/networking.k8s.io/v1/networkpolicies"
    assert BLOCK.path == "/apis/romana.io/v1/addressblocks"


def test_pauses_grow_to_a_limit_and_start_again():
    backoff = Backoff(first_s=1, limit_s=8)
    for bound in (1, 2, 4, 8, 8, 8):
        assert bound / 4 <= backoff.next() <= bound
    backoff.reset()
    assert backoff.next() <= 1
