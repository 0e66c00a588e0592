"""Metrics and health over HTTP, on a local address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import generate_latest

from romana.agent.errors import ConfigError
from romana.agent.metrics import Metrics


class HealthServer:
    """Serves /metrics, /healthz and /readyz.

    Args:
        address: `HOST:PORT`.
        metrics: what /metrics shows; `refresh` is called before.
        unhealthy, unready: why not; empty when all is well.
    """

    def __init__(
        self,
        address: str,
        metrics: Metrics,
        *,
        refresh: Callable[[], Awaitable[None]],
        unhealthy: Callable[[], str],
        unready: Callable[[], str],
    ) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"metrics: `{address}` is not HOST:PORT")
        self._host, self._port = host.strip("[]"), int(port)
        self._metrics = metrics
        self._refresh = refresh
        self._reasons = {"/healthz": unhealthy, "/readyz": unready}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        application = web.Application()
        application.router.add_get("/metrics", self._show)
        for path in self._reasons:
            application.router.add_get(path, self._state)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, _: web.Request) -> web.Response:
        await self._refresh()
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _state(self, request: web.Request) -> web.Response:
        reason = self._reasons[request.path]()
        return web.Response(text=reason or "ok\n", status=503 if reason else 200)
