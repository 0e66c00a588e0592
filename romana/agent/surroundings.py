"""What this host's own network looks like: its addresses, its segments, its uplink's MTU."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError, DataplaneError
from romana.dataplane.nftables import INTERFACE_PREFIX
from romana.objects import Address, Network

LEAST_MTU = 1280
"""What IPv6 asks of every link; an uplink with less is not taken for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """This host's network, without the pods' interfaces.

    Args:
        addresses: all of the host's, of every interface.
        segments: the networks its interfaces are on.
        mtus: of the interfaces, by each of their addresses.
        default_mtu: of the interface of the default route; None where there is none.
    """

    addresses: frozenset[Address] = frozenset()
    segments: frozenset[Network] = frozenset()
    mtus: tuple[tuple[Address, int], ...] = ()
    default_mtu: int | None = None

    def mtu(self, node: Collection[Address]) -> int:
        """The MTU of the uplink: the interface with the node's address, else that of the default
        route.

        Args:
            node: the node's addresses.
        """
        own = [mtu for address, mtu in self.mtus if address in node and mtu >= LEAST_MTU]
        return min(own) if own else self.default_mtu or 1500


def parse(addresses: str, routes: str) -> Surroundings:
    """Read the JSON of `ip -j address show` and `ip -j route show default`. Pure."""
    links: list[dict[str, Any]] = [
        link
        for link in json.loads(addresses or "[]")
        if not link.get("ifname", INTERFACE_PREFIX).startswith(INTERFACE_PREFIX)
    ]
    found = [
        (link, ip_interface(f"{each['local']}/{each['prefixlen']}"))
        for link in links
        for each in link.get("addr_info", ())
        if "local" in each
    ]
    defaults = {route.get("dev") for route in json.loads(routes or "[]")}
    return Surroundings(
        addresses=frozenset(ip_address(each.ip) for _, each in found),
        segments=frozenset(
            each.network
            for link, each in found
            if "LOOPBACK" not in link["flags"] and not each.ip.is_link_local
        ),
        mtus=tuple((ip_address(each.ip), int(link["mtu"])) for link, each in found),
        default_mtu=next((int(link["mtu"]) for link in links if link["ifname"] in defaults), None),
    )


async def look_around() -> Surroundings:
    """Read this host's network.

    Raises:
        DataplaneError: it cannot be read.
    """
    try:
        return parse(
            await run("ip", "-j", "address", "show"),
            await run("ip", "-j", "route", "show", "default"),
        )
    except CommandError as error:
        raise DataplaneError(f"the host's addresses cannot be read: {error}") from error
