"""A shell held open in a container: scripts go in, tagged lines come out as they are printed.

One exec for a pod's whole life instead of one per question: starting a process in a container
costs some 100 ms on each side, a line over an open websocket 1 ms. The protocol is
v4.channel.k8s.io, spoken by every Kubernetes since 1.4: the first byte of a message names its
channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from installer.kubernetes.api import Api, ApiError

_PROTOCOL = "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
Sink = Callable[[float, str], None]
"""Told when a line came (time.monotonic) and what it says, without its tag."""


class Shell:
    """A `sh` in a pod. A line of output that begins with "@TAG " goes to the sink of that tag."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool], name: str) -> None:
        self.name = name
        self._socket = socket
        self._sinks: dict[str, Sink] = {}
        self._numbers = itertools.count()
        self._said = ""
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, api: Api, namespace: str, pod: str) -> Shell:
        """Starts `sh` in the pod's only container.

        Raises:
            ApiError: the API server or the kubelet refuses.
        """
        query = [("command", "sh"), ("stdin", "1"), ("stdout", "1"), ("stderr", "1")]
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        return cls(await api.socket(path, query, _PROTOCOL), pod)

    def listen(self, tag: str, sink: Sink) -> None:
        """Has lines with this tag handed to `sink`, as they come."""
        self._sinks[tag] = sink

    async def send(self, script: str) -> None:
        """Has the shell read more of its script.

        Raises:
            ApiError: the shell has ended.
        """
        if self._ended.done():
            raise self._lost()
        try:
            await self._socket.send_bytes(bytes([_STDIN]) + script.encode() + b"\n")
        except (ConnectionError, aiohttp.ClientError) as error:
            raise self._lost() from error

    async def ask(self, command: str, timeout_s: float = 10) -> str:
        """What a short command prints, its lines joined by blanks.

        Raises:
            ApiError: the shell ended, or does not answer in time.
        """
        tag = f"q{next(self._numbers)}"
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def told(_: float, text: str) -> None:
            if not answer.done():
                answer.set_result(text)

        self.listen(tag, told)
        try:
            await self.send(f"echo @{tag} $({command})")
            await asyncio.wait(
                (answer, self._ended), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            del self._sinks[tag]
        if answer.done():
            return answer.result()
        if self._ended.done():
            raise self._lost()
        raise ApiError(f"{self.name}: a shell in the pod does not answer within {timeout_s:.0f} s")

    @property
    def alive(self) -> bool:
        """Whether the shell still runs."""
        return not self._ended.done()

    async def close(self) -> None:
        """Ends the shell."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self._socket.close()

    def _lost(self) -> ApiError:
        said = f": {self._said}" if self._said else ""
        return ApiError(
            f"{self.name}: the shell in the pod has ended{said}",
            advice="look at the pod's host: kubelet and containerd",
        )

    async def _read(self) -> None:
        pending = b""
        try:
            async for message in self._socket:
                data = message.data
                if not isinstance(data, bytes) or not data:
                    continue
                if data[0] == _STDOUT:
                    *lines, pending = (pending + data[1:]).split(b"\n")
                    self._dispatch(lines)
                elif data[0] in (_STDERR, _STATUS):
                    self._said = _last_words(data[1:]) or self._said
        finally:
            if not self._ended.done():
                self._ended.set_result(None)

    def _dispatch(self, lines: list[bytes]) -> None:
        now = time.monotonic()
        for line in lines:
            tag, _, text = line.decode(errors="replace").partition(" ")
            sink = self._sinks.get(tag[1:]) if tag.startswith("@") else None
            if sink is not None:
                sink(now, text.strip())


def _last_words(data: bytes) -> str:
    """The last line of standard error, or the message of a status object."""
    text = data.decode(errors="replace").strip()
    try:
        status: Any = json.loads(text)
    except ValueError:
        return text.splitlines()[-1] if text else ""
    return str(status.get("message") or "") if isinstance(status, dict) else text
