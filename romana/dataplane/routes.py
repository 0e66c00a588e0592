"""Routes of this host to pods and to other hosts' address blocks. They bear protocol number 82, and
no others are listed, changed or removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError, RouteError
from romana.objects import Address, Network, Snapshot
from romana.policy.admission import Endpoint

PROTOCOL = "82"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the main table.

    Args:
        destination: where to.
        via: the next hop, on a segment of this host; None for what is reached by `device` itself.
        device: the interface; "" leaves it to the kernel, which knows the next hop's.
        source: the address that the host's own packets take; None leaves it to the kernel.
        blackhole: drops what no longer prefix takes, so that an address nobody has does not leave
            the host.
    """

    destination: Network
    via: Address | None = None
    device: str = ""
    source: Address | None = None
    blackhole: bool = False

    def words(self) -> tuple[str, ...]:
        """What `ip route add` takes."""
        if self.blackhole:
            return ("blackhole", str(self.destination), "proto", PROTOCOL)
        words = [str(self.destination)]
        if self.via is not None:
            words += ["via", str(self.via)]
        if self.device:
            words += ["dev", self.device]
        words += ["proto", PROTOCOL]
        if self.source is not None:
            words += ["src", str(self.source)]
        if self.via is None and self.destination.version == 4:
            words += ["scope", "link"]
        return tuple(words)


def wanted_routes(
    snapshot: Snapshot,
    node: str,
    endpoints: Iterable[Endpoint],
    segments: Iterable[Network],
    source: Iterable[Address] = (),
    gateways: Iterable[Address] = (),
) -> frozenset[Route]:
    """The routes of a host. Pure.

    Args:
        snapshot: blocks and nodes of the cluster.
        node: this host's name.
        endpoints: this host's pods.
        segments: networks of this host's interfaces.
        source: the addresses that this host's own packets to its pods take, at most one of each
            family; by default its node's addresses.
        gateways: where to send what is for blocks of nodes beyond the segments, at most one of each
            family. Without one such blocks have no route here: the fabric knows them.
    """
    own = snapshot.nodes.get(("", node))
    sources = tuple(source) or (own.addresses if own else ())
    routes = {
        pod_route(each.interface, address, sources)
        for each in endpoints
        for address in each.addresses
    }
    return frozenset(routes) | block_routes(snapshot, node, segments, gateways)


def block_routes(
    snapshot: Snapshot,
    node: str,
    segments: Iterable[Network],
    gateways: Iterable[Address] = (),
) -> frozenset[Route]:
    """The routes to the blocks of all hosts. Pure.

    Args:
        snapshot: blocks and nodes of the cluster.
        node: this host's name.
        segments: networks of this host's interfaces.
        gateways: as `wanted_routes` takes them.
    """
    on_link = tuple(segments)
    beyond: dict[int, Address] = {gateway.version: gateway for gateway in gateways}
    routes = set()
    for block in snapshot.blocks.values():
        if block.node == node:
            routes.add(Route(destination=block.cidr, blackhole=True))
            continue
        via = _next_hop(snapshot, block.node, block.cidr.version, on_link, beyond)
        if via is not None:
            routes.add(Route(destination=block.cidr, via=via))
    return frozenset(routes)


def pod_route(interface: str, address: Address, sources: Iterable[Address]) -> Route:
    """The route to a pod.

    Args:
        interface: the host's side of its veth.
        address: one of its addresses.
        sources: this host's addresses; the first of the same family is what its packets to the pod
            take.
    """
    source = next((each for each in sources if each.version == address.version), None)
    return Route(destination=ip_network(address), device=interface, source=source)


def route_changes(old: frozenset[Route], new: frozenset[Route]) -> tuple[str, ...]:
    """The commands for `ip -batch` that make `new` of `old`. A route to the same destination is
    replaced in one step. Pure."""
    if old == new:
        return ()
    before = {each.destination: each for each in old}
    after = {each.destination for each in new}
    gone = sorted((each for each in old - new if each.destination not in after), key=_order)
    commands = [_command("delete", each) for each in gone]
    for each in sorted(new - old, key=_order):
        commands.append(_command("replace" if each.destination in before else "add", each))
    return tuple(commands)


def parse_routes(output: str, version: int) -> frozenset[Route]:
    """Read the JSON of `ip -j route show proto 82`. Pure.

    Args:
        output: what ip printed.
        version: 4 or 6; what `default` stands for depends on it.
    """
    return frozenset(_parsed(entry, version) for entry in json.loads(output or "[]"))


async def read_routes() -> frozenset[Route]:
    """The routes that are ours.

    Raises:
        RouteError: they cannot be listed.
    """
    try:
        outputs = [
            (version, await run("ip", f"-{version}", "-j", "route", "show", "proto", PROTOCOL))
            for version in (4, 6)
        ]
    except CommandError as error:
        raise RouteError(f"routes cannot be listed: {error}") from error
    return frozenset(
        route for version, output in outputs for route in parse_routes(output, version)
    )


async def apply_routes(wanted: frozenset[Route]) -> tuple[str, ...]:
    """Make our routes the wanted ones.

    Args:
        wanted: all of them; ours that are not among them are removed.

    Returns:
        The changes that were made, as commands of `ip`.

    Raises:
        RouteError: some could not be written (somebody else has a route to the same destination, a
            next hop is on no segment); the others were.
    """
    changes = route_changes(await read_routes(), wanted)
    if changes:
        try:
            await run("ip", "-force", "-batch", "-", text="\n".join(changes) + "\n")
        except CommandError as error:
            failed = _failed(error.output, changes)
            raise RouteError(f"routes cannot be written: {failed}") from error
    return changes


def _next_hop(
    snapshot: Snapshot,
    name: str,
    version: int,
    on_link: tuple[Network, ...],
    beyond: Mapping[int, Address],
) -> Address | None:
    """The node itself where it is on a segment, or the gateway. A node that is unknown has no way:
    at a gateway, packets for it could only circle."""
    node = snapshot.nodes.get(("", name))
    addresses = [each for each in (node.addresses if node else ()) if each.version == version]
    near = (each for each in addresses if any(each in network for network in on_link))
    return next(near, beyond.get(version) if addresses else None)


def _order(route: Route) -> tuple[int, int, int]:
    network = route.destination
    return (network.version, int(network.network_address), network.prefixlen)


def _command(verb: str, route: Route) -> str:
    return f"route {verb} {' '.join(route.words())}"


def _parsed(entry: dict[str, Any], version: int) -> Route:
    destination = entry["dst"].replace("default", "0.0.0.0/0" if version == 4 else "::/0")
    blackhole = entry.get("type") == "blackhole"
    gateway = entry.get("gateway") or entry.get("via", {}).get("host")
    return Route(
        destination=ip_network(destination),
        via=ip_address(gateway) if gateway else None,
        device="" if gateway or blackhole else str(entry.get("dev", "")),
        source=ip_address(entry["prefsrc"]) if "prefsrc" in entry else None,
        blackhole=blackhole,
    )


def _failed(output: str, changes: tuple[str, ...]) -> str:
    """The failed commands with their reasons: ip prints the reason, then `Command failed
    -:LINE`."""
    reasons: list[str] = []
    failures: list[str] = []
    for line in output.splitlines():
        number = line.removeprefix("Command failed -:")
        if number == line or not number.isdigit():
            reasons.append(line.removeprefix("RTNETLINK answers: ").strip())
            continue
        failures.append(f"`{changes[int(number) - 1]}` ({' '.join(reasons)})")
        reasons.clear()
    return "; ".join(failures) or output.strip()
