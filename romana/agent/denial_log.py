"""Logs denied connections: the switch, the kernel's log that is listened to, and the lines.

The kernel is asked to tell of denied packets only while this agent listens: rules that tell are
written after the group of netfilter's log has been had, and a group that somebody else listens to
is never written to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from romana.agent.config import Config
from romana.agent.denial_choice import Choice, keep, read
from romana.agent.denials import Denial, Denials, owners_of
from romana.agent.errors import BAD_REQUEST, TRY_LATER, RequestError
from romana.agent.kernel import Kernel
from romana.agent.metrics import Metrics
from romana.agent.reconciler import NotEnforced, Reconciler
from romana.dataplane.counted import DeniedPackets
from romana.dataplane.denials import BYTES, DenialLog
from romana.dataplane.errors import DataplaneError, NetlinkError
from romana.dataplane.netlink import Overflowed
from romana.dataplane.nflog import LogListener
from romana.objects import Address
from romana.policy.admission import Direction, Endpoint
from romana.policy.explain import isolating

GATHER_S = 0.5
"""Lines are written so long after the first packet of theirs, together."""
RETRY_S = 5.0
"""How often a group is asked for that could not be had, as long as it is wanted."""
KEPT = 500
FOLLOW_S = 20.0
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    values: dict[str, Any]


class DeniedConnections:
    """The log of denied connections.

    Args:
        config: of the agent.
        path: where the operator's choice is kept over restarts.
        kernel: asked to tell.
        reconciler: knows what is in force.
        metrics: counts lines.
    """

    def __init__(
        self, config: Config, path: Path, kernel: Kernel, reconciler: Reconciler, metrics: Metrics
    ) -> None:
        self._config = config
        self._path = path
        self._kernel = kernel
        self._reconciler = reconciler
        self._metrics = metrics
        self._choice = read(path)
        self._listener: LogListener | None = None
        self._group = 0
        self._trouble = ""
        self._denials = Denials(time.monotonic, time.time)
        self._owners: tuple[object, Mapping[Address, Endpoint]] = (None, {})
        self._names: dict[str, tuple[str, ...]] = {}
        self._stirred = asyncio.Event()
        self._lines: deque[_Line] = deque(maxlen=KEPT)
        self._number = 0
        self._told = asyncio.Condition()

    @property
    def wanted(self) -> DenialLog | None:
        """What is to be told of; None where nothing is."""
        settings = self._config.log_denied
        choice = self._choice or Choice(settings.enabled, settings.namespaces)
        if not choice.on:
            return None
        return DenialLog(namespaces=frozenset(choice.namespaces), group=settings.group)

    @property
    def problem(self) -> str:
        """Why denied connections are not logged although they should be; empty where they are."""
        why = self._trouble or self._kernel.enforcement.log_fault
        return f"denied connections are not logged: {why}" if why else ""

    def configure(self, config: Config) -> None:
        """Take a new configuration; the next round of the reconciler writes it."""
        self._config = config
        self.begin()

    def begin(self) -> None:
        """Listen, or not, as is wanted now, and ask the kernel to tell; to be called before the
        first round of the reconciler, so that what an agent before this one asked for stays."""
        wanted = self.wanted
        if self._listener and (wanted is None or wanted.group != self._group):
            self._close()
        if wanted and self._listener is None:
            self._open(wanted)
        self._trouble = self._trouble if wanted else ""
        self._kernel.denial_log = wanted if self._listener else None
        self._stirred.set()

    async def run(self) -> None:
        """Write lines until cancelled, and try again to listen where that failed."""
        try:
            while True:
                await self._stir()
                if self._trouble and self._listener is None:
                    self.begin()
                    self._reconciler.audit()
                if self._denials.gathered:
                    await asyncio.sleep(GATHER_S)
                    await self._write()
        finally:
            self._close()

    async def _stir(self) -> None:
        limit_s = RETRY_S if self._trouble else None
        try:
            await asyncio.wait_for(self._stirred.wait(), limit_s)
        except asyncio.TimeoutError:
            return
        self._stirred.clear()

    async def switch(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The agent's method: `switch` is `on` (with `namespaces`, or for all), `off`, `default`
        (as the configuration says), or absent; what is in force then.

        Raises:
            RequestError: the question cannot be read, or the kernel refuses.
        """
        word, namespaces = parameters.get("switch"), parameters.get("namespaces") or ()
        if word not in (None, "on", "off", "default") or (namespaces and word != "on"):
            wanted = "`switch` is on, off or default; `namespaces` go with on"
            raise RequestError(BAD_REQUEST, "the switch cannot be read", wanted)
        if word is not None:
            choices = {"on": Choice(True, tuple(map(str, namespaces))), "off": Choice(False)}
            self._choice = choices.get(word)
            keep(self._path, self._choice)
            self._denials.begin(await self._counts() or {})
            self.begin()
            await self._enforce()
            log.info("denied connections", extra={"logged": self.state()["text"]})
        return self.state()

    def state(self) -> dict[str, Any]:
        """What is in force, as plain values."""
        wanted = self.wanted
        names = sorted(wanted.namespaces) if wanted else []
        text = "not logged"
        if wanted:
            text = f"logged, of {', '.join(names) if names else 'every namespace'}"
        by = "`romana log denied`" if self._choice else "the configuration"
        return {
            "on": wanted is not None,
            "namespaces": names,
            "group": self._config.log_denied.group,
            "by": by,
            "problem": self.problem,
            "text": f"{text} (by {by})",
        }

    async def follow(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The agent's method: the lines `after` a number, as soon as there are any; without one,
        none but the number to go on with."""
        after = parameters.get("after")
        if after is not None:
            try:
                async with self._told:
                    came = self._told.wait_for(lambda: self._number > int(after))
                    await asyncio.wait_for(came, FOLLOW_S)
            except asyncio.TimeoutError:
                log.debug("no denied connection in time")
        since = self._number if after is None else int(after)
        lines = [each.values for each in self._lines if each.number > since]
        return {"number": self._number, "lines": lines}

    async def _enforce(self) -> None:
        try:
            await self._reconciler.enforced()
        except NotEnforced as error:
            raise RequestError(TRY_LATER, str(error)) from error

    def _open(self, wanted: DenialLog) -> None:
        try:
            listener = LogListener(wanted.group, BYTES)
        except NetlinkError as error:
            trouble = f"{error}; `log_denied: {{group: NUMBER}}` chooses another group"
            if trouble != self._trouble:
                log.warning("denied connections are not logged", extra={"reason": trouble})
            self._trouble = trouble
            return
        self._listener, self._group, self._trouble = listener, wanted.group, ""
        asyncio.get_running_loop().add_reader(listener.fileno(), self._receive)

    def _close(self) -> None:
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _receive(self) -> None:
        wanted = self.wanted
        if self._listener is None or wanted is None:
            return
        endpoints = self._reconciler.endpoints()
        if self._owners[0] is not endpoints:
            self._owners = (endpoints, owners_of(endpoints))
        for each in self._listener.receive():
            if not isinstance(each, Overflowed):  # what was lost counts as suppressed
                self._denials.take(each, self._owners[1], wanted)
        if self._denials.gathered:
            self._stirred.set()

    async def _counts(self) -> DeniedPackets | None:
        try:
            return await self._kernel.denied()
        except DataplaneError as error:
            log.debug("denied packets are not known", extra={"reason": str(error)})
            return None

    async def _write(self) -> None:
        counts = await self._counts()
        await self._reconciler.idle()
        for each in self._denials.lines(counts):
            values = self._values(each)
            self._number += 1
            self._lines.append(_Line(self._number, values))
            self._metrics.denied_lines.inc()
            log.info("denied %s", json.dumps(values))
        async with self._told:
            self._told.notify_all()

    def _values(self, denial: Denial) -> dict[str, Any]:
        """A line, as plain values."""
        packet = denial.packet
        peers = self._reconciler.holders(denial.peer)
        at = datetime.fromtimestamp(denial.at, timezone.utc)
        ingress = denial.direction is Direction.INGRESS
        return {
            "time": at.isoformat(timespec="milliseconds"),
            "direction": denial.direction.value,
            "pod": "/".join(denial.endpoint.pod),
            "address": str(packet.destination if ingress else packet.source),
            "peer": str(denial.peer),
            "peer_pod": "/".join(peers[0]) if peers else None,
            "protocol": PROTOCOLS.get(packet.protocol, str(packet.protocol)),
            "port": packet.port,
            "source_port": packet.source_port,
            "isolated_by": list(self._isolating(denial)),
            "suppressed": denial.suppressed,
        }

    def _isolating(self, denial: Denial) -> Iterable[str]:
        """The policies that isolate the pod; a program is named by which these are."""
        admission, snapshot = self._reconciler.admission, self._reconciler.snapshot
        programs = admission.endpoints.get(denial.endpoint.interface)
        if programs is None:
            return ()
        ingress = denial.direction is Direction.INGRESS
        name = programs.ingress if ingress else programs.egress
        pod = snapshot.pods.get(denial.endpoint.pod)
        if name is None or pod is None:
            return ()
        if name not in self._names:
            self._names = {
                each: at for each, at in self._names.items() if each in admission.programs
            }
            found = isolating(snapshot, pod, denial.direction)
            self._names[name] = tuple(each.origin.text for each in found)
        return self._names[name]
