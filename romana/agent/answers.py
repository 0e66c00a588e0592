"""Values of the kernel layer as the socket's clients get them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from romana.dataplane.counted import DeniedPackets
from romana.dataplane.links import GATEWAYS, HOST_HARDWARE, PodLink
from romana.dataplane.routes import Route
from romana.policy.admission import Direction, Endpoint


def answer_for(link: PodLink) -> dict[str, object]:
    """What the plugin is told of a pod's interface; it makes a CNI result of it."""
    return {
        "interface": link.interface,
        "host_mac": HOST_HARDWARE,
        "mac": link.hardware,
        "mtu": link.mtu,
        "ips": [
            {"address": f"{each}/{each.max_prefixlen}", "gateway": GATEWAYS[each.version]}
            for each in link.addresses
        ],
        "routes": [
            {"dst": "0.0.0.0/0" if each.version == 4 else "::/0", "gw": GATEWAYS[each.version]}
            for each in link.addresses
        ],
    }


def denied_of(denied: DeniedPackets, interface: str) -> dict[str, int]:
    """Packets denied to and from one endpoint, by direction."""
    return {each.value: denied.get(each, {}).get(interface, 0) for each in Direction}


def denied_by_pod(
    denied: DeniedPackets, endpoints: Iterable[Endpoint]
) -> tuple[tuple[str, str, str, int], ...]:
    """Namespace, name, direction and denied packets of the pods of this host."""
    return tuple(
        (*each.pod, direction, packets)
        for each in endpoints
        for direction, packets in denied_of(denied, each.interface).items()
    )


def ordered(routes: Iterable[Route]) -> list[Route]:
    """Routes by family and destination."""
    return sorted(
        routes,
        key=lambda each: (
            each.destination.version,
            int(each.destination.network_address),
            each.destination.prefixlen,
        ),
    )


def route_values(route: Route) -> dict[str, object]:
    """A route as `romana route list` shows it."""
    return {
        "to": str(route.destination),
        "via": str(route.via) if route.via else None,
        "interface": route.device or None,
        "kind": "blackhole" if route.blackhole else "node" if route.via else "pod",
    }
