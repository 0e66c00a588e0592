"""A small client of the Kubernetes API: JSON in, JSON out, errors in one line.

The operator's machine need not have kubectl, and one kept connection costs a request 2 ms where
starting kubectl costs 100.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import aiohttp

from installer.errors import InstallerError
from installer.kubernetes.kubeconfig import Access

JSON = dict[str, Any]
_TIMEOUT_S = 15.0
_CLOSING_S = 0.25


class ApiError(InstallerError):
    """The API server did not do as asked.

    Args:
        status: HTTP status, 0 where there was no answer.
        reason: the API's own word, for instance AlreadyExists.
        causes: what the API names as causes, for instance the disruption budget that forbids an
            eviction.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        reason: str = "",
        advice: str = "",
        causes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, advice)
        self.status = status
        self.reason = reason
        self.causes = causes


class Api:
    """Requests to one API server; used as `async with Api(access) as api`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._upgraded = False

    async def __aenter__(self) -> Api:
        """Opens the session; connections are made when they are needed."""
        tls = self._access.tls()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes all connections."""
        await self._session.close()
        if self._upgraded:
            # aiohttp ends the TLS of websockets in the background, without a handle to wait on:
            # https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown
            await asyncio.sleep(_CLOSING_S)

    async def get(self, path: str, **query: str) -> JSON:
        """An object or a list by its path, for instance "/api/v1/nodes"."""
        return await self._request("GET", path, query=query)

    async def create(self, path: str, manifest: Mapping[str, Any]) -> JSON:
        """Creates an object in the collection at `path`."""
        return await self._request("POST", path, manifest)

    async def replace(self, path: str, manifest: Mapping[str, Any]) -> JSON:
        """Puts an object in the place of the one at `path`."""
        return await self._request("PUT", path, manifest)

    async def patch(self, path: str, change: Mapping[str, Any]) -> JSON:
        """Merges a change (RFC 7386) into the object at `path`; null removes a field. With
        `metadata.resourceVersion` in it, it is refused (409) where the object is another by now."""
        return await self._request("PATCH", path, change, kind="application/merge-patch+json")

    async def delete(
        self, path: str, preconditions: Mapping[str, str] | None = None, **query: str
    ) -> None:
        """Deletes the object or the collection at `path`, if it is there; with preconditions (uid,
        resourceVersion) only the very object that was seen."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        try:
            await self._request("DELETE", path, options if preconditions else None, query=query)
        except ApiError as error:
            if error.status != 404:
                raise

    async def text(self, path: str) -> str:
        """A plain answer such as that of "/readyz"."""
        async with self._session.get(self._url(path), **self._extra()) as response:
            return await response.text()

    async def socket(
        self, path: str, query: list[tuple[str, str]], protocol: str
    ) -> aiohttp.ClientWebSocketResponse[bool]:
        """A websocket to a subresource of a pod.

        Raises:
            ApiError: the server refuses it.
        """
        self._upgraded = True
        try:
            return await self._session.ws_connect(
                self._url(path), params=query, protocols=(protocol,), **self._extra()
            )
        except aiohttp.WSServerHandshakeError as error:
            raise ApiError(
                f"{path}: refused: {error.status} {error.message}", error.status
            ) from error
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise self._unreachable(error) from error

    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> JSON:
        try:
            async with self._session.request(
                method,
                self._url(path),
                json=body,
                params=query,
                headers={"Content-Type": kind} if body is not None else None,
                **self._extra(),
            ) as response:
                answer = await response.json(content_type=None)
        except ValueError as error:
            raise ApiError(f"{method} {path}: the answer is not JSON", response.status) from error
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise self._unreachable(error) from error
        if response.status >= 400:
            raise _refusal(method, path, response.status, answer)
        assert isinstance(answer, dict)
        return answer

    def _url(self, path: str) -> str:
        return self._access.server + path

    def _extra(self) -> dict[str, Any]:
        name = self._access.server_name
        return {"server_hostname": name} if name else {}

    def _unreachable(self, error: Exception) -> ApiError:
        what = str(error) or type(error).__name__
        if isinstance(error, aiohttp.ClientConnectorError):
            what = error.os_error.strerror or "it closes the connection"
        return ApiError(
            f"the API server does not answer at {self._access.server}: {what}",
            advice="romana-install status shows the control plane's services",
        )


def _refusal(method: str, path: str, status: int, answer: Any) -> ApiError:
    details = answer if isinstance(answer, dict) else {}
    message = details.get("message") or "no reason given"
    causes = (details.get("details") or {}).get("causes") or ()
    return ApiError(
        f"{method} {path}: {status}: {message}",
        status,
        details.get("reason") or "",
        causes=tuple(str(cause.get("message") or "") for cause in causes),
    )
