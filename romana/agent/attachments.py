"""What the container runtime asks for: attach a pod to the network, detach it, check it, collect
what is left over.

An attachment is answered only when its address, its route and its policy are in the kernel. Until
then its interface is in none of the kernel's maps, and what is unknown there is dropped: a pod
never sends or receives an unjudged packet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any
from weakref import WeakValueDictionary

from romana.agent.answers import answer_for
from romana.agent.blocks import Blocks
from romana.agent.errors import (
    BAD_REQUEST,
    NO_ADDRESS,
    NOT_AS_MADE,
    TRY_LATER,
    UNKNOWN_CONTAINER,
    RequestError,
)
from romana.agent.kernel import Kernel, KernelError
from romana.agent.reconciler import NotEnforced, Reconciler
from romana.agent.store import Store
from romana.ipam.leases import Attachment, Exhausted, Lease, Leases, Unavailable
from romana.ipam.leftover import leftover
from romana.objects import Address, Key, Pod

POD_WAIT_S = 15
"""The runtime may know a pod before the agent has heard of it; longer than this is not a delay any
more."""

log = logging.getLogger(__name__)


def interface_name(attachment: Attachment) -> str:
    """The host's side of an attachment's veth: `rom` and 12 hex digits."""
    text = f"{attachment.container}/{attachment.ifname}".encode()
    return f"rom{blake2b(text, digest_size=6).hexdigest()}"


class Attachments:
    """The attachments of this host.

    Args:
        boot: identifies this boot of the host.
    """

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        blocks: Blocks,
        kernel: Kernel,
        reconciler: Reconciler,
        boot: str,
    ) -> None:
        self._store = store
        self._leases = leases
        self._blocks = blocks
        self._kernel = kernel
        self._reconciler = reconciler
        self._boot = boot
        self._turns: WeakValueDictionary[Attachment, asyncio.Lock] = WeakValueDictionary()

    async def add(self, parameters: Mapping[str, Any]) -> dict[str, object]:
        """ADD: attach a pod.

        Raises:
            RequestError: it cannot be attached now; nothing of it is left.
        """
        attachment = _attachment(parameters)
        async with self._turn(attachment):
            self.check_ready()
            pod = await self._pod(parameters)
            netns = _text(parameters, "netns")
            lease = await self._lease(attachment, pod, netns, _asked(parameters))
            try:
                await self._begun()
                link = await self._kernel.attach(lease, attachment.ifname)
                await self._reconciler.enforced()
            except BaseException as error:
                await self._release(lease)
                if isinstance(error, (NotEnforced, KernelError)):
                    message = f"pod {'/'.join(pod.key)} cannot be attached: {error}"
                    raise RequestError(TRY_LATER, message) from error
                raise
            log.info("attached", extra=_about(lease))
            return answer_for(link)

    async def delete(self, parameters: Mapping[str, Any]) -> None:
        """DEL: detach a pod. Nothing to detach is no error."""
        attachment = _attachment(parameters)
        async with self._turn(attachment):
            lease = self._leases.find(attachment)
            if lease is not None:
                await self._release(lease)
                log.info("detached", extra=_about(lease))
            else:  # its lease may be lost with the database, but not the interface's name
                await self._kernel.detach(interface_name(attachment))

    async def check(self, parameters: Mapping[str, Any]) -> None:
        """CHECK: whether an attachment still is as it was made.

        Raises:
            RequestError: it is not; the message says in what.
        """
        attachment = _attachment(parameters)
        async with self._turn(attachment):
            self.check_ready()
            lease = self._leases.find(attachment)
            if lease is None:
                raise RequestError(
                    UNKNOWN_CONTAINER, f"container {attachment.container} is not attached"
                )
            netns = _text(parameters, "netns")
            try:
                await self._kernel.verify(lease, attachment.ifname, netns)
            except KernelError as error:
                raise RequestError(NOT_AS_MADE, str(error)) from error
            await self._reconciler.enforced()

    async def collect(self, parameters: Mapping[str, Any]) -> None:
        """GC: detach everything that is not among the runtime's attachments."""
        valid = {
            Attachment(container=str(each["containerID"]), ifname=str(each["ifname"]))
            for each in parameters.get("attachments", ())
        }
        for lease in self._leases.all():
            if lease.attachment not in valid:
                log.warning(
                    "collected an attachment that the runtime no longer has", extra=_about(lease)
                )
                await self._remove(lease)

    async def sweep(self) -> None:
        """Put right what a kill, a reboot or a lost database may have left: leases of sandboxes
        that are gone are freed, and interfaces without a lease get one that belongs to no pod.
        Those stay closed, and their addresses are not given to others, until they are gone.
        """
        for lease in leftover(
            self._leases.all(), self._boot, self._kernel.has_netns, self._kernel.has_interface
        ):
            log.warning("freed the address of a sandbox that is gone", extra=_about(lease))
            await self._remove(lease)
        for interface, addresses in (await self._kernel.strangers(self._interfaces())).items():
            attachment = Attachment(container=f"unknown-{interface}", ifname="")
            lost = Lease(
                attachment=attachment,
                pod=("", ""),
                uid="",
                netns="",
                interface=interface,
                boot=self._boot,
                addresses=addresses,
            )
            self._leases.adopt(lost)
            log.error(
                "an interface has no lease: its pod stays closed until it is made anew",
                extra=_about(lost),
            )
            self._store.wake()

    def _interfaces(self) -> tuple[str, ...]:
        return tuple(lease.interface for lease in self._leases.all())

    def check_ready(self) -> None:
        """See whether pods can be attached.

        Raises:
            RequestError: not yet, and why.
        """
        if not self._store.synced:
            missing = ", ".join(self._store.missing)
            why = "; ".join(str(problem) for problem in self._store.problems)
            raise RequestError(TRY_LATER, f"the agent has not read every {missing} yet", why)
        if self._reconciler.trouble:
            raise RequestError(
                TRY_LATER, f"policies cannot be enforced: {self._reconciler.trouble}"
            )

    async def _begun(self) -> None:
        """Wait until rules are in force: an interface that is there before the first of them, after
        a boot, would be judged by none.

        Raises:
            NotEnforced: they are not, and why.
        """
        if not self._reconciler.enforced_once:
            await self._reconciler.enforced()

    async def _remove(self, lease: Lease) -> None:
        async with self._turn(lease.attachment):
            if self._leases.find(lease.attachment) == lease:
                await self._release(lease)

    async def _pod(self, parameters: Mapping[str, Any]) -> Pod:
        """The pod that is to be attached, as soon as it is known. One of the same name that is
        about to be replaced does not count: its labels may be others.
        """
        arguments = parameters.get("args") or {}
        key: Key = (arguments.get("K8S_POD_NAMESPACE", ""), arguments.get("K8S_POD_NAME", ""))
        uid = arguments.get("K8S_POD_UID", "")
        if not all(key):
            raise RequestError(
                BAD_REQUEST, "CNI_ARGS does not say K8S_POD_NAMESPACE and K8S_POD_NAME"
            )

        def find() -> Pod | None:
            pod = self._store.pod(key)
            return pod if pod and (not uid or not pod.uid or pod.uid == uid) else None

        try:
            return await asyncio.wait_for(self._store.until(find), POD_WAIT_S)
        except asyncio.TimeoutError:
            found = "with another uid" if self._store.pod(key) else "not"
            message = f"pod {'/'.join(key)} is {found} known to the agent after {POD_WAIT_S} s"
            raise RequestError(TRY_LATER, message, "is the agent connected to the API?") from None

    async def _lease(
        self, attachment: Attachment, pod: Pod, netns: str, asked: tuple[Address, ...]
    ) -> Lease:
        """A lease of one address of each family, from a further block where this host's are
        full."""
        wanted = Lease(
            attachment=attachment,
            pod=pod.key,
            uid=pod.uid,
            netns=netns,
            interface=interface_name(attachment),
            boot=self._boot,
            addresses=asked,
        )
        before = self._leases.find(attachment)
        if before is not None and (before.pod, before.netns) != (pod.key, netns):
            await self._release(before)  # a container id that is used again
        while True:
            own = self._blocks.own()
            try:
                return self._leases.allocate(wanted, own, self._blocks.versions)
            except Exhausted as error:
                await self._blocks.claim(error.version, own)
            except Unavailable as error:
                message = f"pod {'/'.join(pod.key)} cannot have the address it asks for: {error}"
                raise RequestError(NO_ADDRESS, message, "see `romana block list`") from error

    async def _release(self, lease: Lease) -> None:
        """Undo an attachment: no policy any more, no interface, and only then the address may be
        another's."""
        await asyncio.shield(self._kernel.detach(lease.interface))
        self._leases.free(lease.attachment)
        self._store.wake()

    def _turn(self, attachment: Attachment) -> asyncio.Lock:
        """One request about an attachment at a time: a lock that lives as long as somebody wants
        it."""
        turn = self._turns.get(attachment)
        if turn is None:
            turn = self._turns[attachment] = asyncio.Lock()
        return turn


def _attachment(parameters: Mapping[str, Any]) -> Attachment:
    return Attachment(container=_text(parameters, "container"), ifname=_text(parameters, "ifname"))


def _text(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(BAD_REQUEST, f"`{name}` is missing in the request")
    return value


def _asked(parameters: Mapping[str, Any]) -> tuple[Address, ...]:
    """The addresses that the runtime asks for; as a rule none."""
    try:
        return tuple(ip_address(text) for text in parameters.get("ips", ()))
    except ValueError as error:
        raise RequestError(BAD_REQUEST, f"the address asked for is none: {error}") from error


def _about(lease: Lease) -> dict[str, object]:
    return {
        "pod": "/".join(lease.pod),
        "addresses": ",".join(map(str, lease.addresses)),
        "interface": lease.interface,
        "container": lease.attachment.container[:12],
    }
