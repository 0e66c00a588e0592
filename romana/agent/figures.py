"""Brings those metrics up to date that are read when they are asked for."""

from __future__ import annotations

import logging

from romana.agent.answers import denied_by_pod
from romana.agent.blocks import Blocks
from romana.agent.kernel import Kernel, KernelError
from romana.agent.metrics import Metrics
from romana.agent.reconciler import Reconciler
from romana.agent.store import Store
from romana.ipam.leases import Leases

log = logging.getLogger(__name__)


class Figures:
    """Asks the agent's parts, and the kernel, for their figures."""

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        blocks: Blocks,
        kernel: Kernel,
        reconciler: Reconciler,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._leases = leases
        self._blocks = blocks
        self._kernel = kernel
        self._reconciler = reconciler
        self._metrics = metrics

    async def refresh(self) -> None:
        """Set the metrics to what they are now."""
        for kind, count in self._store.counts().items():
            self._metrics.objects.labels(kind).set(count)
        self._metrics.refused.set(len(self._store.refused))
        self._metrics.refused_policies.set(len(self._store.refused_policies))
        self._metrics.source_troubles.set(len(self._store.troubles))
        for version in self._blocks.versions:
            free = self._leases.free_count(self._blocks.own(), version)
            self._metrics.addresses_free.labels(f"IPv{version}").set(free)
        try:
            for reason, count in (await self._kernel.dropped()).items():
                self._metrics.dropped.labels(reason).set(count)
            denied = await self._kernel.denied()
            self._metrics.denied.counts = denied_by_pod(denied, self._reconciler.endpoints())
        except KernelError as error:
            log.debug("no counters", extra={"reason": str(error)})
