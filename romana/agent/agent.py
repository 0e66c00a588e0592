"""The parts of the agent, joined and run together."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from romana.agent.attachments import Attachments
from romana.agent.blocks import ApiClaimer, Blocks, Claimer, ManifestClaimer
from romana.agent.config import FIXED, Config
from romana.agent.denial_log import DeniedConnections
from romana.agent.drift import watch_routes, watch_tables
from romana.agent.errors import NOT_AVAILABLE, RequestError
from romana.agent.explanations import Explanations
from romana.agent.figures import Figures
from romana.agent.foresight import Foresight
from romana.agent.http import HealthServer
from romana.agent.kernel import Kernel
from romana.agent.metrics import Metrics
from romana.agent.notify import notify
from romana.agent.process import only_one, run_until
from romana.agent.queries import Queries
from romana.agent.reconciler import Reconciler
from romana.agent.server import Handler, Server
from romana.agent.store import Store
from romana.agent.verification import Verification
from romana.ipam.leases import Leases
from romana.sources.api import Api, ApiError
from romana.sources.errors import InvalidObject
from romana.sources.events import EventWriter
from romana.sources.files import FilesSource
from romana.sources.kubernetes import KubernetesSource

AUDIT_S = 60
"""How often the whole of the kernel's state is compared, whether or not it has told of a change."""
SICK_AFTER_S = 60
"""For how long enforcement may fail before the agent calls itself unhealthy."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where objects come from."""

    async def run(self) -> None:
        """Deliver until cancelled."""


class Agent:
    """The agent of one host.

    Args:
        config: its configuration.

    Raises:
        AgentError: another agent runs with the same state directory.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        state = Path(config.state)
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = only_one(state / "agent.lock")
        self._metrics = Metrics()
        self._store = Store(config.segment_labels)
        self._leases = Leases(state / "leases.db")
        self._kernel = Kernel(config, self._metrics)
        self._api = None if config.directory else Api(config.kubernetes.address())
        self._source, claimer = self._origin()
        self._blocks = Blocks(
            node=config.name,
            zone=config.pods.zone,
            layout=config.pods.layout(),
            store=self._store,
            claimer=claimer,
            near=config.pods.preferred,
        )
        self._reconciler = Reconciler(
            store=self._store, leases=self._leases, kernel=self._kernel, metrics=self._metrics
        )
        self._verification = Verification(
            reconciler=self._reconciler,
            settings=lambda: self._kernel.settings,
            reading=self._kernel.enforcement.reading,
            node=lambda: self._kernel.addresses,
            repairs=self._kernel.repairs,
            metrics=self._metrics,
            interval_s=config.verify_every,
        )
        self._kernel.repairs.repaired = self._verification.repaired
        self._figures = Figures(
            store=self._store,
            leases=self._leases,
            blocks=self._blocks,
            kernel=self._kernel,
            reconciler=self._reconciler,
            metrics=self._metrics,
        )
        self._denied = DeniedConnections(
            config, state / "log-denied.json", self._kernel, self._reconciler, self._metrics
        )
        self._attachments = Attachments(
            store=self._store,
            leases=self._leases,
            blocks=self._blocks,
            kernel=self._kernel,
            reconciler=self._reconciler,
            boot=BOOT_ID.read_text().strip(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop.

        Raises:
            AgentError: a part of the agent has ended by itself.
            OSError: the socket or the port for metrics cannot be had.
        """
        server = Server(Path(self._config.socket), self._methods())
        health = self._health()
        await server.start()
        if health:
            await health.start()
        self._denied.begin()
        notify("READY=1\nSTATUS=reading every object")
        log.info("started", extra={"node": self._config.name, "source": self._config.source})
        try:
            await run_until(
                stop,
                self._source.run(),
                self._reconciler.run(),
                self._reconciler.check(),
                self._kernel.connections.run(),
                self._verification.run(),
                self._denied.run(),
                watch_tables(self._kernel, self._reconciler.audit),
                watch_routes(self._kernel, self._reconciler.audit),
                self._prepare(),
                self._keep_house(),
                self._tell(),
            )
        finally:
            notify("STOPPING=1")
            await server.stop()
            if health:
                await health.stop()
            if self._api:
                await self._api.close()
            self._leases.close()
            log.info("stopped; what is in the kernel stays in force")

    def reload(self, config: Config) -> None:
        """Take a new configuration, as far as a running agent can."""
        fixed = [name for name in FIXED if getattr(config, name) != getattr(self._config, name)]
        if fixed:
            log.warning("needs a restart to change", extra={"keys": ",".join(fixed)})
        self._config = config
        self._store.segment_labels = config.segment_labels
        self._kernel.configure(config)
        self._denied.configure(config)
        self._blocks.configure(config.pods.zone, config.pods.layout(), config.pods.preferred)
        self._reconciler.audit()
        log.info("configuration read again")

    def _origin(self) -> tuple[Source, Claimer]:
        if self._api is not None:
            return KubernetesSource(self._api, self._store), ApiClaimer(self._api)
        directory = self._config.directory
        assert directory is not None
        return FilesSource(directory, self._store), ManifestClaimer()

    async def _prepare(self) -> None:
        """Once everything is known: free what a reboot has left, and have a block before the first
        pod wants an address, so that the other hosts have the route by then.
        """
        await self._store.until(lambda: self._store.synced or None)
        gc.collect()
        gc.freeze()  # what has been read lives long: it is not looked through again and again
        await self._attachments.sweep()
        try:
            for version in self._blocks.versions:
                own = self._blocks.own()
                if not any(block.version == version for block in own):
                    await self._blocks.claim(version, own)
        except RequestError as error:
            log.warning("no address block yet", extra={"reason": f"{error}; {error.details}"})
        await self._reconciler.begun()
        notify("STATUS=policies in force")
        log.info(
            "policies in force", extra={"endpoints": len(self._reconciler.admission.endpoints)}
        )

    async def _keep_house(self) -> None:
        """Now and then, look for what no event tells of."""
        while True:
            await asyncio.sleep(AUDIT_S)
            await self._attachments.sweep()
            self._reconciler.audit()

    async def _tell(self) -> None:
        """Log each object that cannot be read, and put an event on it, once."""
        writer = EventWriter(self._api, self._config.name) if self._api else None
        told: set[str] = set()

        def untold() -> InvalidObject | None:
            return next((each for each in self._store.refused if str(each) not in told), None)

        while True:
            error = await self._store.until(untold)
            told &= {str(each) for each in self._store.refused}
            told.add(str(error))
            log.warning("an object is not in force as written", extra={"reason": str(error)})
            try:
                if writer:
                    await writer.write(error)
            except ApiError as refusal:
                log.warning("the event cannot be written", extra={"reason": str(refusal)})

    def _methods(self) -> dict[str, Handler]:
        queries = Queries(
            config=self._config,
            store=self._store,
            leases=self._leases,
            blocks=self._blocks,
            kernel=self._kernel,
            reconciler=self._reconciler,
            verification=self._verification,
            denied=self._denied,
        )
        explanations = Explanations(self._reconciler, self._kernel)
        foresight = Foresight(reconciler=self._reconciler, node=lambda: self._kernel.addresses)
        runtime: dict[str, Handler] = {
            "cni.add": self._attachments.add,
            "cni.del": self._attachments.delete,
            "cni.check": self._attachments.check,
            "cni.gc": self._attachments.collect,
            "cni.status": self._available,
        }
        return {
            **{name: self._measured(name, handler) for name, handler in runtime.items()},
            "status": queries.status,
            "enforced": queries.enforced,
            "judge": queries.judge,
            "policies": queries.policies,
            "endpoints": queries.endpoints,
            "routes": queries.routes,
            "blocks": queries.blocks,
            "explain": explanations.explain,
            "verify": self._verification.verify,
            "matrix": foresight.matrix,
            "diff": foresight.diff,
            "log.denied": self._denied.switch,
            "log.denied.follow": self._denied.follow,
        }

    def _measured(self, name: str, handler: Handler) -> Handler:
        async def measured(parameters: dict[str, Any]) -> object:
            with self._metrics.cni.labels(name).time():
                try:
                    return await handler(parameters)
                except RequestError as error:
                    self._metrics.cni_errors.labels(name, error.code).inc()
                    extra = {"method": name, "reason": error.message, "code": error.code}
                    log.warning("refused", extra=extra)
                    raise

        return measured

    async def _available(self, _: Mapping[str, Any]) -> None:
        """STATUS: whether pods can be attached now."""
        try:
            self._attachments.check_ready()
        except RequestError as error:
            raise RequestError(NOT_AVAILABLE, error.message, error.details) from error

    def _health(self) -> HealthServer | None:
        if self._config.metrics == "off":
            return None
        return HealthServer(
            self._config.metrics,
            self._metrics,
            refresh=self._figures.refresh,
            unhealthy=self._unhealthy,
            unready=self._unready,
        )

    def _unhealthy(self) -> str:
        since = self._reconciler.troubled_since
        if since is None or time.monotonic() - since < SICK_AFTER_S:
            return ""
        return f"policies cannot be enforced: {self._reconciler.trouble}\n"

    def _unready(self) -> str:
        try:
            self._attachments.check_ready()
        except RequestError as error:
            return f"{error.message}\n{error.details}\n"
        return "" if self._reconciler.enforced_once else "policies are not in force yet\n"
