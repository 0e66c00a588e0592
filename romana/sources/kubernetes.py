"""Objects from the Kubernetes API: list in pages, then watch from there, for ever.

Rules: https://kubernetes.io/docs/reference/using-api/api-concepts/ (resource versions, chunks,
bookmarks, 410 Gone).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from romana.objects import Object
from romana.sources.api import Api, ApiError
from romana.sources.errors import InvalidObject, SourceError
from romana.sources.kinds import (
    KINDS,
    OLDER,
    Kind,
    Sink,
    WireAny,
    WireEvent,
    WireStatus,
    decode_object,
    decode_page,
)

PAGE = 500
WATCH_S = (300, 600)
"""A watch ends after a time between these, so that the watches of many agents do not end
together."""
NOT_FOUND = 404
GONE = 410


class Expired(SourceError):
    """The API no longer knows the version to watch from: list again."""


class Backoff:
    """Growing, random pauses between attempts.

    Args:
        first_s: the upper bound of the first pause.
        limit_s: the upper bound of all.
    """

    def __init__(self, first_s: float = 0.2, limit_s: float = 5.0) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._next_s = first_s

    def reset(self) -> None:
        """Start again from the first pause."""
        self._next_s = self._first_s

    def next(self) -> float:
        """Seconds to wait now. Random over the whole span: agents that lost the API together come
        back one by one."""
        bound, self._next_s = self._next_s, min(self._next_s * 2, self._limit_s)
        return random.uniform(bound / 4, bound)  # noqa: S311 - spreads load, guards nothing


class KubernetesSource:
    """Delivers all kinds to a sink, each by a task of its own."""

    def __init__(self, api: Api, sink: Sink) -> None:
        self._api = api
        self._sink = sink

    async def run(self) -> None:
        """Deliver until cancelled."""
        tasks = [
            asyncio.create_task(
                Follower(self._api, self._sink, kind).run(), name=f"watch {kind.plural}"
            )
            for kind in KINDS
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Follower:
    """List and watch of one kind, in the version that the API serves: of NetworkPolicy the older
    one where the newer is not there, until it is."""

    def __init__(
        self, api: Api, sink: Sink, kind: Kind, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._sink = sink
        self._newest = self._kind = kind
        self._clock = clock
        self._version = ""
        self._where = f"watch of {kind.plural}"

    async def run(self) -> None:
        """Follow until cancelled. Whatever fails is reported to the sink and tried again after a
        pause."""
        backoff = Backoff()
        while True:
            began = self._clock()
            try:
                if not self._version:
                    await self.list()
                await self.watch()
                if self._kind is not self._newest:  # perhaps it is there by now
                    self._version = ""
            except Expired:
                self._version = ""
            except SourceError as error:
                self._sink.trouble(self._where, SourceError(f"{self._where}: {error}"))
                if isinstance(error, ApiError) and error.status == GONE:
                    self._version = ""
                await asyncio.sleep(backoff.next())
                continue
            if self._clock() - began > 1:
                backoff.reset()
            else:  # a server that ends every watch at once must not be asked in a tight loop
                await asyncio.sleep(backoff.next())

    async def list(self) -> None:
        """Read the whole list and hand it over.

        Raises:
            SourceError: it could not be read; nothing was handed over.
        """
        self._kind = self._newest
        try:
            await self._list()
        except ApiError as error:
            older = OLDER.get(self._newest.name)
            if error.status != NOT_FOUND or older is None:
                raise
            self._kind = older
            await self._list()

    async def _list(self) -> None:
        objects: list[Object] = []
        invalid: list[InvalidObject] = []
        parameters = {"limit": str(PAGE)}
        while True:
            page = decode_page(self._kind, await self._api.get(self._kind.path, parameters))
            objects += page.objects
            invalid += page.invalid
            if not page.more:
                break
            parameters["continue"] = page.more
        self._sink.replace(self._kind, objects, invalid)
        self._version = page.version

    async def watch(self) -> None:
        """Hand over each change, until the server ends the watch.

        Raises:
            Expired: the list must be read again.
            SourceError: the watch was refused or broke; it can be resumed.
        """
        limit_s = random.randint(*WATCH_S)  # noqa: S311
        parameters = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(limit_s),
        }
        async with aclosing(self._api.lines(self._kind.path, parameters, limit_s)) as lines:
            async for line in lines:
                if line:
                    self._take(line)
                else:
                    self._sink.trouble(self._where, None)

    def _take(self, line: bytes) -> None:
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                self._fail(event)
            metadata = _ANY.decode(event.object).metadata
        except msgspec.DecodeError as error:
            raise Expired(f"a line of the watch cannot be read: {error}") from error
        if event.type == "DELETED":
            self._sink.remove(self._kind, self._kind.key(metadata))
        elif event.type in ("ADDED", "MODIFIED"):
            try:
                self._sink.put(self._kind, decode_object(self._kind, event.object))
            except InvalidObject as error:
                self._sink.refuse(self._kind, error)
        self._version = metadata.resourceVersion or self._version

    def _fail(self, event: WireEvent) -> None:
        status = _STATUS.decode(event.object)
        if status.code == GONE or status.reason in ("Expired", "Gone"):
            raise Expired(status.message)
        self._version = ""
        raise SourceError(f"the watch ended with {status.code} {status.reason}: {status.message}")


_EVENT = msgspec.json.Decoder(WireEvent)
_ANY = msgspec.json.Decoder(WireAny)
_STATUS = msgspec.json.Decoder(WireStatus)
