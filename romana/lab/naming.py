"""Names and addresses in a lab: pure, so that leftovers can be told by name alone.

A lab named P owns the network namespace P (bridges, routing between segments) and every namespace
P.NAME. A prefix holds no dot, so no lab owns a name that another one could make.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

HOSTS = IPv4Network("198.18.0.0/24")
"""Default host network: in the benchmarking range, never routed on a real network (RFC 2544)."""

INTERFACE_NAME_MAX = 15
"""IFNAMSIZ of Linux, less the terminating zero."""

_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A layer 2 network: a bridge in the lab's outer namespace, which routes between them."""

    name: str
    network: IPv4Network

    @property
    def gateway(self) -> IPv4Interface:
        """The bridge's own address: the first of the network."""
        return IPv4Interface((self.network[1], self.network.prefixlen))

    @property
    def bridge(self) -> str:
        """The bridge's interface name."""
        return interface_name("b", self.name)

    def interface(self, address: str | IPv4Address) -> IPv4Interface:
        """A host's address with the segment's prefix length.

        Raises:
            ValueError: the address is not a host's in this segment, or is the gateway's.
        """
        wanted = IPv4Address(address)
        if wanted not in self.network:
            raise ValueError(f"{wanted} is not in segment {self.name} ({self.network})")
        if wanted in (self.network[0], self.network[1], self.network[-1]):
            raise ValueError(
                f"{wanted} is not free for a host in {self.network}: network, gateway or broadcast"
            )
        return IPv4Interface((wanted, self.network.prefixlen))


def check_prefix(prefix: str) -> str:
    """The prefix itself, if it can name a lab: lower case letters, digits, dashes; at most 63.

    Raises:
        ValueError: it cannot.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} cannot name a lab: use lower case letters, digits and dashes")
    return prefix


def member(prefix: str, name: str) -> str:
    """The network namespace of `name` in the lab `prefix`.

    Raises:
        ValueError: the name cannot be a file's in /run/netns.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a namespace: use letters, digits, dots and dashes")
    return f"{prefix}.{name}"


def belongs(prefix: str, namespace: str) -> bool:
    """Whether a network namespace of this name is the lab's."""
    return namespace == prefix or namespace.startswith(f"{prefix}.")


def interface_name(kind: str, name: str) -> str:
    """An interface name for `name`, readable where it fits and distinct where it does not.

    Args:
        kind: one letter that sets bridges, veths and so on apart.
        name: any name, unique within the kind.
    """
    plain = f"{kind}-{name}"
    if len(plain) <= INTERFACE_NAME_MAX and "/" not in plain:
        return plain
    digest = hashlib.blake2s(name.encode(), digest_size=3).hexdigest()
    return f"{kind}-{name[:6].replace('/', '-')}~{digest}"


def hardware_address(namespace: str) -> str:
    """The link-layer address of a host's uplink: the same in every life of the host, as a real
    network card's is, so that its neighbours' caches stay right when it boots again. Locally
    administered (IEEE 802, second bit of the first octet)."""
    digest = hashlib.blake2s(namespace.encode(), digest_size=5).digest()
    return ":".join(f"{octet:02x}" for octet in (0x02, *digest))
