"""The veth pair of a pod. Two processes make it: one `ip -batch` on the host, one in the pod's
namespace.

Both ends know each other's link-layer address from the start (permanent neighbour entries), so that
the first packet waits for nothing. The pod's gateway is link-local and the same everywhere; the
host answers for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError, LinkError
from romana.dataplane.nftables import INTERFACE_PREFIX
from romana.dataplane.routes import pod_route
from romana.objects import Address

GATEWAY4 = "169.254.1.1"
HOST_HARDWARE = "ee:ee:ee:ee:ee:ee"
"""Of every host's side: a pod that moves with a copy of its neighbour table finds the same
gateway."""
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
"""The link-local address that the kernel itself gives to an interface with HOST_HARDWARE."""

GATEWAYS = {4: GATEWAY4, 6: GATEWAY6}
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}

SETTINGS = {
    "ipv4/conf/{}/forwarding": "1",
    # The host answers for the gateway when a pod has lost its permanent entry.
    "ipv4/conf/{}/proxy_arp": "1",
    "ipv4/neigh/{}/proxy_delay": "0",
    # A source address must be the pod's own: the route back to it leads through the same interface.
    "ipv4/conf/{}/rp_filter": "1",
    "ipv6/conf/{}/accept_ra": "0",
}
_SYSTEM = Path("/proc/sys/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLink:
    """A pod's interface.

    Args:
        interface: name of the host's side: `rom` and 12 hex digits.
        netns: path of the pod's network namespace.
        name: name in the pod, `eth0` mostly.
        addresses: the pod's, at most one of each family.
        mtu: in bytes.
        sources: the host's own addresses; its packets to the pod take the first of the same family.
    """

    interface: str
    netns: str
    name: str
    addresses: tuple[Address, ...]
    mtu: int = 1500
    sources: tuple[Address, ...] = ()

    @property
    def hardware(self) -> str:
        """The link-layer address of the pod's side: derived from the host's side's name, locally
        administered."""
        digest = blake2b(self.interface.encode(), digest_size=5).hexdigest()
        return ":".join(("02", *(digest[at : at + 2] for at in range(0, 10, 2))))


async def attach(link: PodLink) -> None:
    """Make a pod's interface, with addresses, routes and neighbours on both sides. One of that name
    is made anew.

    Raises:
        LinkError: it cannot be made; nothing of it is left.
    """
    await detach(link.interface)
    try:
        await run("ip", "-batch", "-", text=_batch(host_commands(link)))
        for setting, value in settings(link.interface):
            setting.write_text(value)
        await run(*pod_ip(link), "-batch", "-", text=_batch(pod_commands(link)))
    except (CommandError, OSError) as error:
        await asyncio.shield(detach(link.interface))
        raise LinkError(f"interface {link.interface} for {link.netns}: {error}") from error
    except BaseException:
        await asyncio.shield(detach(link.interface))
        raise


async def detach(interface: str) -> bool:
    """Remove a pod's interface; its peer, routes and neighbours go with it.

    Returns:
        Whether there was one.

    Raises:
        LinkError: it is there and cannot be removed.
    """
    if not exists(interface):
        return False
    try:
        await run("ip", "link", "delete", interface)
    except CommandError as error:
        if exists(interface):  # the end of the pod's namespace may have been faster
            raise LinkError(f"interface {interface} cannot be removed: {error}") from error
    return True


def exists(interface: str) -> bool:
    """Whether this host has an interface of that name."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True


def interfaces() -> frozenset[str]:
    """Names of all the pods' interfaces on this host."""
    return frozenset(name for _, name in socket.if_nameindex() if name.startswith(INTERFACE_PREFIX))


def host_commands(link: PodLink) -> Iterator[str]:
    """What `ip -batch` does on the host. Pure."""
    yield (
        f"link add {link.interface} address {HOST_HARDWARE} mtu {link.mtu} type veth"
        f" peer name {link.name} address {link.hardware} mtu {link.mtu} netns {link.netns}"
    )
    yield f"link set {link.interface} up"
    for address in link.addresses:
        neighbour = f"{address} lladdr {link.hardware} dev {link.interface}"
        yield f"neighbour replace {neighbour} nud permanent"
        route = pod_route(link.interface, address, link.sources)
        yield f"route replace {' '.join(route.words())}"


def pod_commands(link: PodLink) -> Iterator[str]:
    """What `ip -batch` does in the pod's namespace. Pure."""
    yield "link set lo up"
    for address in link.addresses:
        duplicate = " nodad" if address.version == 6 else ""
        yield f"address replace {address}/{address.max_prefixlen} dev {link.name}{duplicate}"
    yield f"link set {link.name} up"
    for address in link.addresses:
        gateway, everything = GATEWAYS[address.version], EVERYTHING[address.version]
        yield f"neighbour replace {gateway} lladdr {HOST_HARDWARE} dev {link.name} nud permanent"
        if address.version == 4:
            yield f"route replace {gateway} dev {link.name} scope link"
        yield f"route replace {everything} via {gateway} dev {link.name} src {address}"


def _batch(commands: Iterator[str]) -> str:
    return "\n".join(commands) + "\n"


def pod_ip(link: PodLink) -> tuple[str, ...]:
    """The command line of `ip` in the pod's namespace."""
    return ("nsenter", f"--net={link.netns}", "--", "ip")


def settings(interface: str) -> Iterator[tuple[Path, str]]:
    """The kernel's settings of a host's side: file and value. Those of IPv6 are left out where the
    kernel has none."""
    for name, value in SETTINGS.items():
        setting = _SYSTEM / name.format(interface)
        if setting.parent.exists():
            yield setting, value
