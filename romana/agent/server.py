"""The agent's socket: one JSON object a line each way."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from romana.agent.errors import BAD_REQUEST, INTERNAL, AgentError, RequestError
from romana.dataplane.errors import DataplaneError

Handler = Callable[[dict[str, Any]], Awaitable[object]]

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of a request. The largest is a GC with the attachments of a full host."""

log = logging.getLogger(__name__)


class Request(msgspec.Struct):
    """One line from a client."""

    method: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)


class Server:
    """Serves methods on a socket that only root may use.

    Args:
        path: the socket; one that a killed agent has left is replaced.
        methods: what clients may call.
    """

    def __init__(self, path: Path, methods: Mapping[str, Handler]) -> None:
        self._path = path
        self._methods = methods
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the socket cannot be made.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, self._path, limit=LINE_LIMIT
            )
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Stop listening, and end what is being answered."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self.answer(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            log.debug("client gone", extra={"reason": str(error)})
        except asyncio.CancelledError:
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def answer(self, line: bytes) -> dict[str, object]:
        """The answer to one line. A fault in a method is answered and logged; it never ends the
        agent."""
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return _error(BAD_REQUEST, f"the request cannot be read: {error}")
        handler = self._methods.get(request.method)
        if handler is None:
            known = ", ".join(sorted(self._methods))
            return _error(BAD_REQUEST, f"no method `{request.method}`", f"there are {known}")
        try:
            return {"result": await handler(request.params)}
        except RequestError as error:
            return _error(error.code, error.message, error.details)
        except (AgentError, DataplaneError) as error:
            return _error(INTERNAL, str(error))
        except Exception as error:
            log.exception("request failed", extra={"method": request.method})
            return _error(INTERNAL, f"{request.method} failed: {type(error).__name__}: {error}")


def _error(code: int, message: str, details: str = "") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "details": details}}
