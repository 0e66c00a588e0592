"""Whether a pod's interface is still as it was made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError
from romana.dataplane.links import GATEWAYS, PodLink, exists, pod_ip, settings

State = tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]
"""An interface with its addresses, and the routes of its network namespace that lead through it."""


async def check(link: PodLink) -> tuple[str, ...]:
    """What is wrong with a pod's interface, in words; nothing where all is well."""
    if not exists(link.interface):
        return (f"interface {link.interface} does not exist",)
    try:
        host, pod = await asyncio.gather(
            _state(("ip",), link.interface), _state(pod_ip(link), link.name)
        )
    except CommandError as error:
        return (str(error),)
    return (
        *_link_problems("the host", host, link.mtu),
        *_link_problems("the pod", pod, link.mtu),
        *_host_problems(link, host),
        *_pod_problems(link, pod),
    )


async def _state(ip: tuple[str, ...], name: str) -> State:
    shown = json.loads(await run(*ip, "-j", "address", "show", "dev", name))
    routes = [
        route
        for version in (4, 6)
        for route in json.loads(
            await run(*ip, f"-{version}", "-j", "route", "show", "dev", name) or "[]"
        )
    ]
    return shown[0], tuple(routes)


def _link_problems(side: str, state: State, mtu: int) -> Iterator[str]:
    link = state[0]
    name = link["ifname"]
    if "UP" not in link["flags"]:
        yield f"{name} of {side} is down"
    if link["mtu"] != mtu:
        yield f"{name} of {side} has MTU {link['mtu']}, not {mtu}"


def _host_problems(link: PodLink, state: State) -> Iterator[str]:
    destinations = {route["dst"] for route in state[1]}
    for address in link.addresses:
        if str(address) not in destinations:
            yield f"the host has no route to {address} through {link.interface}"
    for setting, value in settings(link.interface):
        if setting.read_text().strip() != value:
            yield f"{setting} is not {value}"


def _pod_problems(link: PodLink, state: State) -> Iterator[str]:
    present = {each["local"] for each in state[0]["addr_info"] if each["scope"] == "global"}
    wanted = {str(each) for each in link.addresses}
    for address in sorted(wanted - present):
        yield f"{link.name} of the pod lacks {address}"
    for address in sorted(present - wanted):
        yield f"{link.name} of the pod has {address}, which is not its own"
    gateways = {route.get("gateway") for route in state[1] if route["dst"] == "default"}
    for version in sorted({each.version for each in link.addresses}):
        if GATEWAYS[version] not in gateways:
            yield f"the pod has no default route by {GATEWAYS[version]}"
