"""The loop that makes the kernel what the objects say.

A change after quiet is carried out at once. Under churn, changes are taken together: after each
round the loop rests as long as that took, at most REST_S, unless somebody waits for its end. So it
takes no more than half of a core, and a change is in the kernel after at most the round under way,
the rest, and a round of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time

from romana.agent.errors import AgentError
from romana.agent.kernel import Kernel, KernelError
from romana.agent.metrics import Metrics
from romana.agent.store import Store
from romana.ipam.leases import Lease, Leases
from romana.objects import Address, Key, Snapshot
from romana.policy.admission import Admission, Endpoint
from romana.policy.compile import compile_admission
from romana.policy.live import LiveCompiler
from romana.sources.kubernetes import Backoff

ENFORCE_LIMIT_S = 30
LONG_S = 8
"""A change that takes longer is told as trouble: a tool of the kernel's may hang."""
REST_S = 0.05
CHECK_S = 60
"""How often, at most, an audit compiles everything anew, to compare with what came of changes."""
FEW = 100
"""Changed objects that are compiled at once; for more, others have their turn meanwhile."""

Compiled = tuple[Snapshot, tuple[Endpoint, ...], Admission]
"""What was compiled, and what came of it."""

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
        self._compiler = LiveCompiler()
        self._checked = time.monotonic()
        self._to_check: asyncio.Queue[Compiled] = asyncio.Queue()
        self._miscompiled = False
        self._waiting: list[asyncio.Future[None]] = []
        self._urgent = asyncio.Event()
        self._seen: tuple[Lease, ...] = ()
        self._endpoints: tuple[Endpoint, ...] = ()
        self._audit = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.rounds = 0
        self.failure = ""
        self.failing_since: float | None = None
        self._began: float | None = None
        self.enforced_once = False
        self.snapshot = Snapshot()
        self.admission = Admission()
        self.revision = ""
        self._done = asyncio.Event()

    @property
    def trouble(self) -> str:
        """Why what is wanted is not in force: the last failure, or a change that takes too long;
        empty where all is well."""
        since = self._began
        if self.failure or since is None or time.monotonic() - since < LONG_S:
            return self.failure
        return f"a change of the kernel has been under way for {time.monotonic() - since:.0f} s"

    @property
    def troubled_since(self) -> float | None:
        """Since when there is trouble (monotonic seconds); None where there is none."""
        return (self.failing_since or self._began) if self.trouble else None

    async def run(self) -> None:
        """Reconcile until cancelled. Nothing is written before every kind of object has been
        read."""
        backoff = Backoff(first_s=0.5)
        while True:
            since = await self._store.changed()
            if not self._store.synced:
                continue
            began = time.monotonic()
            if await self._round(since):
                backoff.reset()
            else:
                asyncio.get_running_loop().call_later(backoff.next(), self.audit)
            await self._rest(time.monotonic() - began)

    async def check(self) -> None:
        """After an audit, at most once in CHECK_S, compile everything anew and compare with what
        came of changes, until cancelled. In a thread and beside the rounds: no change waits for it.
        """
        while True:
            snapshot, endpoints, admission = await self._to_check.get()
            anew = await asyncio.to_thread(compile_admission, snapshot, endpoints)
            if anew != admission:
                self._metrics.miscompiled.inc()
                log.error("changes were not compiled as they should have been; compiling all anew")
                self._miscompiled = True
                self._store.wake()

    async def enforced(self) -> None:
        """Wait until everything that is known now is in the kernel.

        Raises:
            NotEnforced: it is not, and why.
        """
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._urgent.set()
        self._store.wake()
        try:
            await asyncio.wait_for(waiting, ENFORCE_LIMIT_S)
        except asyncio.TimeoutError:
            raise NotEnforced(f"policies are not in force after {ENFORCE_LIMIT_S} s") from None

    async def begun(self) -> None:
        """Wait until what is wanted has been in the kernel once, however often it fails before."""
        while not self.enforced_once:
            await self._done.wait()

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
        """This host's pod interfaces; the same tuple while no lease has changed."""
        leases = self._leases.all()
        if leases is not self._seen:
            self._seen = leases
            self._endpoints = tuple(
                Endpoint(interface=lease.interface, addresses=lease.addresses, pod=lease.pod)
                for lease in leases
            )
        return self._endpoints

    def holders(self, address: Address) -> tuple[Key, ...]:
        """The pods that an address may belong to, of the whole cluster; none while a comparison is
        under way."""
        return self._compiler.holders(address)

    async def _round(self, since: float | None) -> bool:
        """One comparison; whether nothing is left to be tried again."""
        waiting, self._waiting = self._waiting, []
        self._urgent.clear()
        audit, self._audit = self._audit, False
        began = self._began = time.monotonic()
        self.rounds += 1
        self._idle.clear()
        try:
            complete = await self._reconcile(audit)
        except KernelError as error:
            self._failed(error, waiting)
            return False
        finally:
            self._began = None
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
        changed, revision = self._store.changes(), self._store.revision
        if self._miscompiled:
            self._miscompiled, changed = False, None
        if changed is not None and sum(map(len, changed.values())) <= FEW:
            admission = self._compiler.compile(snapshot, endpoints, changed)
        else:
            # In a thread: in a large cluster it takes long enough for probes of health to time out.
            compiled = self._compiler.compile
            admission = await asyncio.to_thread(compiled, snapshot, endpoints, changed)
        if audit and time.monotonic() - self._checked > CHECK_S:
            self._checked = time.monotonic()
            self._to_check.put_nowait((snapshot, endpoints, admission))
        complete = await self._kernel.enforce(snapshot, endpoints, admission, audit=audit)
        self.snapshot, self.admission, self.revision = snapshot, admission, revision
        self._metrics.endpoints.set(len(admission.endpoints))
        self._metrics.programs.set(len(admission.programs))
        self._metrics.grants.set(sum(len(each.grants) for each in admission.programs.values()))
        return complete

    async def _rest(self, worked_s: float) -> None:
        """Let changes gather."""
        try:
            await asyncio.wait_for(self._urgent.wait(), min(worked_s, REST_S))
        except asyncio.TimeoutError:
            return

    def _failed(self, error: KernelError, waiting: list[asyncio.Future[None]]) -> None:
        self._metrics.failures.inc()
        log.error("the kernel refused; trying again", extra={"reason": str(error)})
        self.failure = str(error)
        self.failing_since = self.failing_since or time.monotonic()
        for each in waiting:
            if not each.done():
                each.set_exception(NotEnforced(str(error)))
