"""Whether hosts' networks are fit for routed pods: ranges that are free, neighbours and gateways in
reach, nobody who takes or drops the packets. Part of preflight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from installer.cluster import Cluster, Host
from installer.errors import Problem
from installer.hosts.facts import Facts
from installer.roles.network import CONFLIST

_OTHERS = (
    (re.compile(r"cni0|flannel\..*"), "Flannel"),
    (re.compile(r"cali[0-9a-f]{11}|vxlan\.calico|tunl0@calico"), "Calico"),
    (re.compile(r"cilium_.*|lxc_health"), "Cilium"),
    (re.compile(r"weave|vethwe-.*"), "Weave Net"),
    (re.compile(r"kube-bridge|kube-dummy-if"), "kube-router"),
)
"""Interfaces that other networks of Kubernetes leave, while their routes and rules are there."""
_OURS = ("rom", "lo")


def ranges(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    """Pods and Services have ranges that the host knows nobody in."""
    if not facts.interface:
        yield (
            f"no interface holds its address {host.address}",
            "name in `address` the one that the other hosts reach, and in `ssh_address` where to "
            "log in",
        )
    taken = {"pods": cluster.network.pods, "services": cluster.network.services}
    for text in facts.addresses:
        interface = IPv4Interface(text)
        for name, range_ in taken.items():
            change = f"choose another range for {name} in the inventory"
            if interface.ip in range_:
                yield f"its address {interface.ip} lies in the range of {name}, {range_}", change
            elif interface.network.overlaps(range_):
                yield f"its network {interface.network} overlaps {name}, {range_}", change
    yield from _routes(facts, taken)


def _routes(facts: Facts, taken: Mapping[str, IPv4Network]) -> Iterator[tuple[str, str]]:
    """Routes by another interface than the uplink, a VPN's for instance. What leads to pods by the
    uplink may be the fabric's."""
    connected = {IPv4Interface(text).network for text in facts.addresses}
    for destination, interface in facts.routes:
        network = IPv4Network(destination, strict=False)
        if interface == facts.interface or interface.startswith(_OURS) or network in connected:
            continue
        for name, range_ in taken.items():
            if network.overlaps(range_):
                yield (
                    f"it has a route to {network} by {interface}, which overlaps {name}, {range_}",
                    f"choose another range for {name} in the inventory, or remove the route",
                )


def reach(host: Host, facts: Facts, cluster: Cluster, version: str) -> Iterator[tuple[str, str]]:
    """Neighbours are where the inventory has them: hosts of its segment, and no other, on its own
    networks; the gateway as well."""
    networks = [IPv4Interface(text).network for text in facts.addresses]
    if not facts.interface:
        return  # said already

    def near(address: IPv4Address) -> bool:
        return any(address in network for network in networks)

    for other in cluster.hosts:
        if other.name == host.name:
            continue
        if other.segment == host.segment and not near(other.address):
            yield (
                f"it does not reach {other.name} ({other.address}) of its segment {host.segment} "
                "directly: no interface is on that network",
                "put them into different segments, or give the interface the right prefix length",
            )
        elif other.segment != host.segment and near(other.address):
            yield (
                f"it reaches {other.name} ({other.address}) of segment {other.segment} directly, "
                f"and is itself in {host.segment}",
                "put both into one segment, or give the interface the right prefix length",
            )
    if host.gateway is not None and not near(host.gateway) and host.gateway != host.address:
        yield (
            f"the gateway {host.gateway} of its segment is on none of its networks",
            f"name a router of segment {host.segment} in static.segments",
        )


def strangers(
    host: Host, facts: Facts, cluster: Cluster, version: str
) -> Iterator[tuple[str, str]]:
    """Nobody else gives pods addresses, and nobody drops what is forwarded."""
    for path in facts.cni_configs:
        name = path.rpartition("/")[2]
        if not name.startswith(CONFLIST):
            yield (
                f"{path} is another network's configuration, and the runtime would take it",
                f"remove that network, then: rm {path}",
            )
    for link in facts.links:
        for pattern, owner in _OTHERS:
            if pattern.fullmatch(link):
                yield (
                    f"interface {link} is left of another network, {owner}",
                    f"remove {owner} with its routes and rules, or reboot: ip link del {link}",
                )
    if facts.forward_policy == "DROP":
        yield (
            "the firewall drops everything forwarded (iptables FORWARD DROP), pods' packets too",
            "iptables -P FORWARD ACCEPT, and keep what set it (Docker, ufw) from doing so again",
        )
    for chain in facts.forward_drops:
        yield (
            f"the firewall drops what is forwarded (nftables chain {chain}, policy drop)",
            f"let it accept, and keep what made it from doing so again: nft list chain {chain}",
        )


def twins(cluster: Cluster, facts: Mapping[str, Facts]) -> Iterator[Problem]:
    """No host holds another's address."""
    for host in cluster.hosts:
        for name, seen in facts.items():
            held = {IPv4Interface(text).ip for text in seen.addresses}
            if name != host.name and host.address in held:
                yield Problem(
                    where=name,
                    what=f"it holds the address of {host.name}, {host.address}",
                    advice=f"remove it: ip address del {host.address} dev INTERFACE",
                )
