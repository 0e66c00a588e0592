"""The connection to the Kubernetes API: servers in turn, TLS with a client certificate, errors in
plain words."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from romana.sources.errors import SourceError
from romana.sources.kinds import WireStatus

REQUEST_TIMEOUT_S = 60
SILENCE_LIMIT_S = 30
"""A server that does not even acknowledge for so long is given up; without it a watch would wait
for ever."""


class ApiError(SourceError):
    """The API refused a request, or could not be reached.

    Args:
        status: the HTTP status; 0 where there was no answer.
        reason: the API's own word for it, such as AlreadyExists or Expired.
    """

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """Where the API is and how to prove who one is. Paths of PEM files; they are read again when
    they change. `token` is a bearer token; `server_name` is what the server's certificate says,
    where that is not the host of its URL."""

    servers: tuple[str, ...]
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)
    server_name: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that make up the identity."""
        return tuple(path for path in (self.ca, self.certificate, self.key) if path)


class Api:
    """A client for the few requests that agents and operators make."""

    def __init__(self, address: ApiAddress) -> None:
        self._address = address
        self._turn = 0
        self._session: aiohttp.ClientSession | None = None
        self._retired: aiohttp.ClientSession | None = None
        self._stamp: tuple[int, ...] = ()

    @property
    def server(self) -> str:
        """The server that is asked at the moment."""
        return self._address.servers[self._turn % len(self._address.servers)].rstrip("/")

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._session, self._retired):
            if session is not None:
                await session.close()
        self._session = self._retired = None

    async def get(self, path: str, parameters: Mapping[str, str]) -> bytes:
        """Fetch a document.

        Raises:
            ApiError: no server answered, or the answer was a refusal.
        """
        return await self._request("GET", path, parameters)

    async def create(self, path: str, manifest: Mapping[str, object]) -> bytes:
        """Create an object.

        Raises:
            ApiError: as `get`; `reason` is AlreadyExists where the name is taken.
        """
        return await self._request("POST", path, {}, msgspec.json.encode(manifest))

    async def replace(self, path: str, manifest: Mapping[str, object]) -> bytes:
        """Put an object in place of the one of its name, if that is still of the same version.

        Raises:
            ApiError: as `get`; `reason` is Conflict where it has changed meanwhile.
        """
        return await self._request("PUT", path, {}, msgspec.json.encode(manifest))

    async def delete(self, path: str) -> bytes:
        """Delete an object.

        Raises:
            ApiError: as `get`.
        """
        return await self._request("DELETE", path, {})

    async def lines(
        self, path: str, parameters: Mapping[str, str], limit_s: int
    ) -> AsyncGenerator[bytes, None]:
        """Follow a stream of lines until the server ends it. The first line is empty and says that
        it is open.

        Args:
            limit_s: the server ends the stream after so many seconds; silence beyond it is an
            error.

        Raises:
            ApiError: as `get`.
        """
        timeout = aiohttp.ClientTimeout(connect=10, sock_read=limit_s + 30)
        session, server = await self._open(), self.server
        try:
            async with session.get(
                server + path,
                params=parameters,
                timeout=timeout,
                server_hostname=self._address.server_name or None,
            ) as answer:
                await self._refusal(answer, server)
                yield b""
                rest = b""
                # Not readline(): an object may be longer than any line limit of the client.
                async for chunk in answer.content.iter_any():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._unreachable(error, server) from error

    async def _request(
        self, method: str, path: str, parameters: Mapping[str, str], body: bytes | None = None
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=10)
        session, server = await self._open(), self.server
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with session.request(
                method,
                server + path,
                params=parameters,
                data=body,
                headers=headers,
                timeout=timeout,
                server_hostname=self._address.server_name or None,
            ) as answer:
                await self._refusal(answer, server)
                return await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._unreachable(error, server) from error

    async def _refusal(self, answer: aiohttp.ClientResponse, server: str) -> None:
        if answer.status < 400:
            return
        body = await answer.read()
        try:
            status = msgspec.json.decode(body, type=WireStatus)
        except msgspec.DecodeError:
            status = WireStatus(message=body[:200].decode(errors="replace").strip())
        message = status.message or answer.reason or "no reason given"
        if answer.status >= 500:
            self._pass_over(server)
        raise ApiError(
            f"{server} answered {answer.status}: {message}", answer.status, status.reason
        )

    def _unreachable(self, error: Exception, server: str) -> ApiError:
        self._pass_over(server)
        return ApiError(f"{server} cannot be reached: {_reason(error)}")

    def _pass_over(self, server: str) -> None:
        """Ask the next server from now on, unless somebody else has found this one wanting
        already."""
        if server == self.server:
            self._turn += 1

    async def _open(self) -> aiohttp.ClientSession:
        """The session; a new one when the identity's files have changed. A watch on the one before
        may go on to its end, which comes long before the next change.
        """
        stamp = tuple(path.stat().st_mtime_ns for path in self._address.files if path.exists())
        if self._session is None or stamp != self._stamp:
            if self._retired is not None:
                await self._retired.close()
            self._retired, self._session = self._session, self._connect()
            self._stamp = stamp
        return self._session

    def _connect(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._trust(), socket_factory=_socket)
        headers = {"Accept": "application/json"}
        if self._address.token:
            headers["Authorization"] = f"Bearer {self._address.token}"
        return aiohttp.ClientSession(connector=connector, headers=headers)

    def _trust(self) -> ssl.SSLContext:
        where = self._address
        try:
            context = ssl.create_default_context(cafile=where.ca)
            if where.certificate:
                context.load_cert_chain(where.certificate, where.key)
        except OSError as error:  # ssl.SSLError is one too
            files = ", ".join(str(path) for path in where.files)
            raise ApiError(
                f"the client certificate cannot be used: {error} (of {files})"
            ) from error
        return context


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices a server that has gone away without a word."""
    family, kind, protocol, _, _ = info
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_LIMIT_S // 2)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE_LIMIT_S // 6)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_LIMIT_S * 1000)
    return made


def _reason(error: Exception) -> str:
    """What went wrong, in the words of the system rather than of a library."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return os.strerror(number) if number else str(error.os_error)
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        return "it closed the connection"
    if isinstance(error, asyncio.TimeoutError):
        return "it does not answer in time"
    return str(error) or type(error).__name__
