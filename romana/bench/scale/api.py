"""`python -m romana.bench.scale.api`: the Kubernetes API as far as an agent asks it, of a cluster
that is made up, and a stopwatch from an event that it sends to the commit in the kernel."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from aiohttp import web

from romana.bench.scale.commits import Commit, Commits
from romana.bench.scale.documents import document, event, listing
from romana.bench.scale.orders import Change, Churn, Order, Serve, Told
from romana.bench.scale.synthetic import Cluster
from romana.objects import Object
from romana.sources.kinds import BLOCK, KINDS, NAMESPACE, NODE, POD, POLICY, Kind

LIMIT_S = 60.0
"""For the kernel to have a change."""
QUIET_S = 0.15
"""After a change's last transaction; so none waits for the one before."""
CYCLE = 1000
"""Pods that come before the first of them goes again."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Collection:
    """The objects of a kind: how many, and how each is made."""

    count: int
    make: Callable[[int], Object]


class Awaited:
    """Changes of pods by address, until the kernel has them."""

    def __init__(self) -> None:
        self._since: dict[bytes, float] = {}
        self._overtaken: set[bytes] = set()
        self._folded = 0
        self._commits = 0
        self._milliseconds: list[float] = []

    def add(self, address: bytes, at: float) -> None:
        """A change was sent, at a time in the loop's seconds."""
        if address in self._since:
            self._overtaken.add(address)
            self._folded += 1
        self._since[address] = at

    def heard(self, commit: Commit) -> None:
        """The kernel has committed something."""
        self._commits += 1
        for address in commit.addresses & self._since.keys():
            self._milliseconds.append(1000 * (commit.at - self._since.pop(address)))

    @property
    def lost(self) -> int:
        """How many are awaited that the kernel should have. After a change was overtaken by the
        next there may be nothing to commit."""
        return len(self._since.keys() - self._overtaken)

    def told(self) -> Told:
        """What there is to tell once the kernel has all."""
        return Told(tuple(self._milliseconds), self._commits, self._folded + len(self._since))


class Api:
    """Serves a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._collections = collections(cluster)
        self._version = 1
        self._watches: defaultdict[str, set[web.StreamResponse]] = defaultdict(set)
        self._watched = asyncio.Event()
        self._commits: asyncio.Queue[Commit] = asyncio.Queue()

    def application(self) -> web.Application:
        """What answers requests."""
        made = web.Application()
        for kind in KINDS:
            made.router.add_get(kind.path, self._handler(kind))
        return made

    def _handler(self, kind: Kind) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            if "watch" in request.query:
                return await self._watch(kind, request)
            first = int(request.query.get("continue") or 0)
            limit = int(request.query.get("limit") or 0) or sys.maxsize
            return web.Response(
                body=self._page(kind, first, limit), content_type="application/json"
            )

        return answer

    def _page(self, kind: Kind, first: int, limit: int) -> bytes:
        held = self._collections.get(kind.name, Collection(0, lambda _: _none()))
        last = min(held.count, first + limit)
        items = [document(kind, held.make(number), 1) for number in range(first, last)]
        return listing(kind, items, 1, str(last) if last < held.count else "")

    async def _watch(self, kind: Kind, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        self._watches[kind.name].add(stream)
        self._watched.set()
        try:
            await asyncio.Event().wait()  # until the agent goes away
        finally:
            self._watches[kind.name].discard(stream)
        return stream

    async def send(self, what: str, kind: Kind, obj: Object) -> float:
        """Send an event; when, in the loop's seconds."""
        while not self._watches[kind.name]:
            self._watched.clear()
            await self._watched.wait()
        self._version += 1
        line = event(what, document(kind, obj, self._version))
        now = asyncio.get_running_loop().time()
        for stream in tuple(self._watches[kind.name]):
            await stream.write(line)
        return now

    async def listen(self, commits: Commits) -> None:
        """Take note of every commit."""
        async for each in commits.heard():
            self._commits.put_nowait(each)

    async def change(self, order: Change) -> Told:
        """Make one change after quiet: what it takes until the last of the transactions that it
        is committed in."""
        while not self._commits.empty():
            self._commits.get_nowait()
        what, kind, obj = changed(self._cluster, order)
        at = await self.send(what, kind, obj)
        commit, commits = await self._commits.get(), 1
        try:
            while True:
                commit = await asyncio.wait_for(self._commits.get(), QUIET_S)
                commits += 1
        except asyncio.TimeoutError:
            return Told((1000 * (commit.at - at),), commits)

    async def churn(self, order: Churn) -> Told:
        """Let pods come and go at a rate, and wait until the kernel has all of it.

        A pod that goes again before the kernel has got it may leave nothing to commit. Changes are
        committed in their order; so with the one of a last pod, and the transactions of the same
        change, the kernel has them all. Another one stays throughout: a set that became empty would
        be deleted as a whole, and no commit would name its elements.
        """
        loop = asyncio.get_running_loop()
        awaited = Awaited()
        last, staying = self._cluster.probe(CYCLE), self._cluster.probe(CYCLE + 1)
        await self.send("ADDED", POD, staying)
        began, sent, total = loop.time(), 0, int(order.rate * order.seconds)
        marked = ended = False
        while not ended:
            while sent < min(total, order.rate * (loop.time() - began)):
                pod = self._cluster.probe(sent % CYCLE)
                what = "DELETED" if sent // CYCLE % 2 else "ADDED"
                awaited.add(pod.addresses[0].packed, await self.send(what, POD, pod))
                sent += 1
                if sent == total:
                    await self.send("ADDED", POD, last)
            try:
                patience = QUIET_S if marked else 0.002
                commit = await asyncio.wait_for(self._commits.get(), patience)
            except asyncio.TimeoutError:
                ended = marked
            else:
                awaited.heard(commit)
                marked |= last.addresses[0].packed in commit.addresses
        for each in (last, staying):
            await self.send("DELETED", POD, each)
        if awaited.lost:
            return Told(failure=f"the kernel never got {awaited.lost} of {total} changes: {order}")
        return awaited.told()


def _none() -> Object:
    raise IndexError


def collections(cluster: Cluster) -> Mapping[str, Collection]:
    """What there is of each kind; the synthetic cluster's policies, and one for `Cluster.probe`."""
    shape = cluster.shape
    nodes, namespaces, blocks = cluster.nodes(), cluster.namespaces(), cluster.blocks()
    policies: Sequence[Object] = (*cluster.policies(), cluster.probe_policy())
    return {
        NAMESPACE.name: Collection(len(namespaces), namespaces.__getitem__),
        NODE.name: Collection(len(nodes), nodes.__getitem__),
        BLOCK.name: Collection(len(blocks), blocks.__getitem__),
        POLICY.name: Collection(len(policies), policies.__getitem__),
        POD.name: Collection(shape.pods, cluster.pod),
    }


def changed(cluster: Cluster, order: Change) -> tuple[str, Kind, Object]:
    """A change as an event: its type, the kind and the object."""
    number, shape = order.number, cluster.shape
    if order.what == "pod added":
        return "ADDED", POD, cluster.probe(number)
    if order.what == "pod's labels changed":
        return "MODIFIED", POD, cluster.probe(number, admitted=False)
    if order.what == "pod removed":
        return "DELETED", POD, cluster.probe(number)
    local = number % shape.pods_per_node
    # Beyond the shape's own, and in the namespace of one of this host's pods.
    first = -(-shape.policies // shape.iterations) * shape.iterations
    policy = cluster.policy(first + local, app=cluster.app(local))
    return "ADDED" if order.what == "policy added" else "DELETED", POLICY, policy


async def serve() -> None:
    """Serve and obey until the experiment goes away."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    first = msgspec.json.decode(await reader.readline(), type=Serve)
    api, commits = Api(Cluster(first.shape)), Commits()
    listening = asyncio.create_task(api.listen(commits))
    runner = web.AppRunner(
        api.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", first.port).start()
    tell(Told())
    orders = msgspec.json.Decoder(Order)
    while line := await reader.readline():
        order = orders.decode(line)
        assert not isinstance(order, Serve)
        work = api.change(order) if isinstance(order, Change) else api.churn(order)
        try:
            tell(await asyncio.wait_for(work, LIMIT_S + getattr(order, "seconds", 0)))
        except asyncio.TimeoutError:
            tell(Told(failure=f"the kernel does not have it after {LIMIT_S:g} s: {order}"))
    listening.cancel()
    await runner.cleanup()


def tell(told: Told) -> None:
    """One line to the experiment."""
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(serve())
