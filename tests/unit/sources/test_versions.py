"""NetworkPolicies of an API that serves one version of them, the other, or first one and then the
other."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from romana.agent.store import Store
from romana.sources.api import Api, ApiAddress
from romana.sources.kinds import BETA_POLICY, POLICY
from romana.sources.kubernetes import Follower

NEW, OLD = POLICY.path, BETA_POLICY.path


class FakeApi:
    """Serves the collections that it is told to, each with one policy; a watch ends on `turn`."""

    def __init__(self, *paths):
        self.paths = set(paths)
        self.lists = []
        self.turn = asyncio.Event()

    async def serve(self, request):
        if request.path not in self.paths:
            return web.json_response({"code": 404, "reason": "NotFound"}, status=404)
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await self.turn.wait()
            return stream
        self.lists.append(request.path)
        metadata = {"name": "p", "namespace": "n", "resourceVersion": "1"}
        items = [{"metadata": metadata, "spec": {"podSelector": {}}}]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


@asynccontextmanager
async def following(fake):
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    api, store = Api(ApiAddress(servers=(f"http://127.0.0.1:{port}",))), Store()
    task = asyncio.create_task(Follower(api, store, POLICY).run())
    try:
        yield store
    finally:
        fake.turn.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        await runner.cleanup()


def beta(store):
    policy = store.snapshot().policies.get(("n", "p"))
    return None if policy is None else policy.beta


async def until(store, value):
    await asyncio.wait_for(store.until(lambda: beta(store) is value or None), 5)


@pytest.mark.parametrize(
    ("paths", "expected"), [((NEW,), False), ((NEW, OLD), False), ((OLD,), True)]
)
async def test_the_newest_version_that_is_served_is_followed(paths, expected):
    fake = FakeApi(*paths)
    async with following(fake) as store:
        await until(store, expected)
        assert fake.lists == [OLD if expected else NEW]


async def test_an_upgraded_api_is_noticed_when_the_watch_ends():
    fake = FakeApi(OLD)
    async with following(fake) as store:
        await until(store, True)
        fake.paths = {NEW, OLD}
        fake.turn.set()
        await until(store, False)


async def test_an_api_without_either_is_told_and_asked_again():
    fake = FakeApi()
    async with following(fake) as store:
        while not store.problems:
            await asyncio.sleep(0.01)
        assert "answered 404" in str(store.problems[0])
        assert "NetworkPolicy" in store.missing
        fake.paths = {NEW}
        await until(store, False)
