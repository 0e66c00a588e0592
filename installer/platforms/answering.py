"""Which of several API servers the operator is sent to: the first that takes connections."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from ipaddress import IPv4Address

from installer.cluster import Cluster, Host

Dial = Callable[[str, int], socket.socket]
"""Opens a TCP connection to an address and port. Raises OSError."""
_PATIENCE_S = 2.0


def answering(
    cluster: Cluster, dial: Dial | None = None, address: Callable[[Host], str] | None = None
) -> Host:
    """The first controller whose API server takes connections; the first of all where none does,
    or where there is no choice.

    Args:
        cluster: whose controllers to try, in the inventory's order.
        dial: how to reach them; plainly from here where it is left out.
        address: where the operator reaches a host; its own address where it is left out.
    """
    first, *others = cluster.controllers
    if not others:
        return first
    for host in cluster.controllers:
        place = address(host) if address else str(host.address)
        with contextlib.suppress(OSError), (dial or _plainly)(place, cluster.api_port):
            return host
    return first


def endpoint(cluster: Cluster, dial: Dial | None = None) -> str:
    """The URL that the operator's kubeconfig names: the inventory's `api_endpoint`, or the address
    of a server that takes connections."""
    if cluster.api_endpoint:
        return cluster.api_endpoint
    return f"https://{answering(cluster, dial).address}:{cluster.api_port}"


def _plainly(address: str | IPv4Address, port: int) -> socket.socket:
    return socket.create_connection((str(address), port), timeout=_PATIENCE_S)
