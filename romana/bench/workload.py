"""The policies of the bench: "allow traffic for this protocol and port", and one matches. Pure.

Each has the form of the seed's `pol1`: pods of role `backend` admit those of role `frontend` on one
port. The ports of two policies never adjoin, so that nothing merges into a range.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import msgspec

NAMESPACE = "bench"
CLIENT, SERVER = "client", "server"
LABELS = {CLIENT: {"role": "frontend"}, SERVER: {"role": "backend"}}
ADDRESSES = {CLIENT: IPv4Address("10.112.0.5"), SERVER: IPv4Address("10.112.1.5")}
PORT = 80
"""The one that the last policy admits."""
CLOSED_PORT = 81
"""Served too, but admitted by no policy."""
_FIRST, _STEP = 1025, 2
_TCP_POLICIES = (65535 - _FIRST) // _STEP + 1
MOST_POLICIES = 2 * _TCP_POLICIES


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one policy admits: a protocol (`TCP` or `UDP`) and a port."""

    protocol: str
    port: int


def allowed(count: int) -> Iterator[Allowed]:
    """What each of `count` policies admits; only the last one's is what is served."""
    for number in range(count - 1):
        protocol = "TCP" if number < _TCP_POLICIES else "UDP"
        yield Allowed(protocol, _FIRST + number % _TCP_POLICIES * _STEP)
    if count:
        yield Allowed("TCP", PORT)


def policies(count: int) -> bytes:
    """A manifest with so many NetworkPolicies."""
    items = [policy(f"policy-{number:06}", each) for number, each in enumerate(allowed(count))]
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})


def policy(name: str, what: Allowed, namespace: str = NAMESPACE) -> dict[str, Any]:
    """The NetworkPolicy that admits something."""
    peer = {"podSelector": {"matchLabels": LABELS[CLIENT]}}
    ports = [{"protocol": what.protocol, "port": what.port}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "podSelector": {"matchLabels": LABELS[SERVER]},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [peer], "ports": ports}],
        },
    }
