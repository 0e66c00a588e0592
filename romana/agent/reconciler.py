"""The loop that makes the kernel what the objects say."""

from __future__ import annotations

import asyncio
import logging
import time

from romana.agent.errors import AgentError
from romana.agent.kernel import Kernel, KernelError
from romana.agent.metrics import Metrics
from romana.agent.store import Store
from romana.ipam.leases import Leases
from romana.objects import Snapshot
from romana.policy.admission import Admission, Endpoint
from romana.policy.compile import compile_admission
from romana.sources.kubernetes import Backoff

ENFORCE_LIMIT_S = 30

log = logging.getLogger(__name__)


class NotEnforced(AgentError):
    """The kernel could not be brought to what the objects say."""


class Reconciler:
    """Compares what should be with what is, and writes the difference, whenever something has
    changed."""

    def __init__(self, *, store: Store, leases: Leases, kernel: Kernel, metrics: Metrics) -> None:
        self._store = store
        self._leases = leases
        self._kernel = kernel
        self._metrics = metrics
        self._waiting: list[asyncio.Future[None]] = []
        self._audit = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.rounds = 0
        self.failure = ""
        self.failing_since: float | None = None
        self.enforced_once = False
        self.snapshot = Snapshot()
        self.admission = Admission()
        self.revision = ""
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Reconcile until cancelled. Nothing is written before every kind of object has been
        read."""
        backoff = Backoff(first_s=0.5)
        while True:
            since = await self._store.changed()
            if not self._store.synced:
                continue
            if await self._round(since):
                backoff.reset()
            else:
                asyncio.get_running_loop().call_later(backoff.next(), self.audit)

    async def enforced(self) -> None:
        """Wait until everything that is known now is in the kernel.

        Raises:
            NotEnforced: it is not, and why.
        """
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._store.wake()
        try:
            await asyncio.wait_for(waiting, ENFORCE_LIMIT_S)
        except asyncio.TimeoutError:
            raise NotEnforced(f"policies are not in force after {ENFORCE_LIMIT_S} s") from None

    async def reached(self, revision: str) -> None:
        """Wait until a revision of the source is in the kernel.

        Raises:
            NotEnforced: it is not, and why.
        """

        async def wait() -> None:
            while self.revision != revision:
                await self._done.wait()

        try:
            await asyncio.wait_for(wait(), ENFORCE_LIMIT_S)
        except asyncio.TimeoutError:
            reason = self.failure or f"the source is at {self._store.revision or 'none'}"
            message = f"revision {revision} is not in force after {ENFORCE_LIMIT_S} s: {reason}"
            raise NotEnforced(message) from None

    async def idle(self) -> None:
        """Wait until no comparison is under way. While `rounds` stays the same from then on, the
        kernel holds what `admission` says, as far as it is ours."""
        await self._idle.wait()

    def audit(self) -> None:
        """Compare with what the kernel really holds, at the next round, which comes at once."""
        self._audit = True
        self._store.wake()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """This host's pod interfaces."""
        return tuple(
            Endpoint(interface=lease.interface, addresses=lease.addresses, pod=lease.pod)
            for lease in self._leases.all()
        )

    async def _round(self, since: float | None) -> bool:
        """One comparison; whether nothing is left to be tried again."""
        waiting, self._waiting = self._waiting, []
        audit, self._audit = self._audit, False
        began = time.monotonic()
        self.rounds += 1
        self._idle.clear()
        try:
            complete = await self._reconcile(audit)
        except KernelError as error:
            self._failed(error, waiting)
            return False
        finally:
            self._idle.set()
        ended = time.monotonic()
        self._metrics.rounds.observe(ended - began)
        if since is not None:
            self._metrics.latency.observe(ended - since)
        if self.failure:
            log.info("the kernel is as it should be again")
        self.failure = ""
        self.failing_since = None
        self.enforced_once = True
        self._done.set()
        self._done = asyncio.Event()
        for each in waiting:
            if not each.done():
                each.set_result(None)
        return complete

    async def _reconcile(self, audit: bool) -> bool:
        snapshot, endpoints = self._store.snapshot(), self.endpoints()
        revision = self._store.revision
        # In a thread: in a large cluster it takes long enough for probes of health to time out.
        admission = await asyncio.to_thread(compile_admission, snapshot, endpoints)
        complete = await self._kernel.enforce(snapshot, endpoints, admission, audit=audit)
        self.snapshot, self.admission, self.revision = snapshot, admission, revision
        self._metrics.endpoints.set(len(admission.endpoints))
        self._metrics.programs.set(len(admission.programs))
        self._metrics.grants.set(sum(len(each.grants) for each in admission.programs.values()))
        return complete

    def _failed(self, error: KernelError, waiting: list[asyncio.Future[None]]) -> None:
        self._metrics.failures.inc()
        log.error("the kernel refused; trying again", extra={"reason": str(error)})
        self.failure = str(error)
        self.failing_since = self.failing_since or time.monotonic()
        for each in waiting:
            if not each.done():
                each.set_exception(NotEnforced(str(error)))
