"""Which prefixes a VPC's route tables need, so that pods of one zone reach those of another. Pure.

Inside a segment (a zone's subnet) hosts route to each other themselves. Across zones a packet goes
to the VPC's router, whose routes lead to one instance each:

- every zone's share of the pod network leads to one host of the zone, which passes on what is for
  the others: so every pod is reached, whatever blocks hosts claim;
- as long as the quota allows it, every other host has a route of its own for its part of the share,
  where its blocks begin: so no host carries the others' packets, and the loss of one is the loss of
  its own pods only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from installer.cluster import Cluster, Host
from installer.errors import PlatformError
from installer.platforms.aws.kinds import route
from installer.platforms.aws.records import Found, Record, Ref, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A route table, and what it is for.

    Args:
        ref: the table.
        zones: of the subnets that use it.
        others: routes that are there and not for pods; they count for the quota.
    """

    ref: Ref
    zones: frozenset[str]
    others: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Prefixes and the hosts that they lead to, by zone; `mode` is "node", "zone" or "none"."""

    mode: str
    prefixes: Mapping[str, tuple[tuple[IPv4Network, str], ...]]


def near(cluster: Cluster, host: Host) -> IPv4Network | None:
    """A host's part of its zone's share, or None where nothing has to be routed to it or the parts
    would be smaller than a block."""
    if len({each.zone for each in cluster.hosts}) < 2:
        return None
    others = [each.name for each in cluster.hosts if each.zone == host.zone]
    whole, bits = cluster.share(host.zone), (len(others) - 1).bit_length()
    if whole.prefixlen + bits > cluster.network.block_size:
        return None
    parts = whole.subnets(prefixlen_diff=bits)
    return next(part for name, part in zip(others, parts, strict=False) if name == host.name)


def plan(
    cluster: Cluster,
    tables: Sequence[Table],
    quota: int,
    *,
    mode: str = "auto",
    current: Mapping[IPv4Network, str] | None = None,
) -> Plan:
    """The prefixes.

    Args:
        cluster: zones and hosts.
        tables: all that the cluster's subnets use.
        quota: routes that a table may have.
        mode: "auto", "node" or "zone", as the inventory says.
        current: hosts that prefixes lead to now, and that are up.

    Raises:
        PlatformError: it does not fit into the quota; says with what it would.
    """
    zones = [zone for zone in cluster.zones if any(host.zone == zone for host in cluster.hosts)]
    if len(zones) < 2:
        return Plan(mode="none", prefixes={})
    wide = {zone: _aggregated(cluster, zone, current or {}) for zone in zones}
    fine = {zone: _per_host(cluster, zone) for zone in zones}
    needs = {name: _fullest(tables, each) for name, each in (("node", fine), ("zone", wide))}
    if mode == "auto":
        mode = "node" if needs["node"] <= quota else "zone"
    if needs[mode] > quota:
        raise PlatformError(
            f"aws: a route table would need {needs[mode]} routes, and the quota is {quota} "
            f"(one route a host: {needs['node']}, one a zone: {needs['zone']})",
            "have `Routes per route table` (vpc, L-93826ACB) raised, at most to 1000"
            + (", or use routes: auto" if mode == "node" else ""),
        )
    return Plan(mode=mode, prefixes=fine if mode == "node" else wide)


def _fullest(
    tables: Sequence[Table], prefixes: Mapping[str, tuple[tuple[IPv4Network, str], ...]]
) -> int:
    return max(
        (
            table.others
            + sum(len(found) for zone, found in prefixes.items() if needed(table, zone))
            for table in tables
        ),
        default=0,
    )


def needed(table: Table, zone: str) -> bool:
    """Whether somebody who uses the table is in another zone."""
    return bool(table.zones - {zone})


def _aggregated(
    cluster: Cluster, zone: str, current: Mapping[IPv4Network, str]
) -> tuple[tuple[IPv4Network, str], ...]:
    """One prefix. It stays with the host that it leads to, if that is up."""
    names = [host.name for host in cluster.hosts if host.zone == zone]
    prefix = cluster.share(zone)
    had = current.get(prefix, "")
    return ((prefix, had if had in names else names[0]),)


def _per_host(cluster: Cluster, zone: str) -> tuple[tuple[IPv4Network, str], ...]:
    """The zone's prefix to the first host, whose own part it covers, and parts to the others."""
    hosts = [host for host in cluster.hosts if host.zone == zone]
    parts = [(near(cluster, host), host.name) for host in hosts[1:]]
    own = [(part, name) for part, name in parts if part is not None]
    return ((cluster.share(zone), hosts[0].name), *own)


def records(plan: Plan, tables: Iterable[Table]) -> tuple[Record, ...]:
    """The routes of all tables."""
    return tuple(
        Record(
            ref=route.reference(table.ref, str(prefix)),
            fields={"target": Ref("interface", host)},
            details={"table": table.ref, "prefix": str(prefix)},
        )
        for table in tables
        for zone, found in plan.prefixes.items()
        if needed(table, zone)
        for prefix, host in found
    )


def surplus(
    wanted: Iterable[Record], found: Iterable[Found], pods: IPv4Network, ours: frozenset[str]
) -> tuple[Found, ...]:
    """Routes to be swept: into the pod network, not wanted, and leading to one of our hosts, or
    nowhere any more. Others' are kept.

    Args:
        wanted: the routes that stay.
        found: the routes that are there.
        pods: the pod network.
        ours: ids of our hosts' interfaces.
    """
    keep = {record.ref for record in wanted}
    return tuple(
        each
        for each in found
        if each.ref not in keep
        and within(each, pods)
        and (each.details["blackhole"] or each.id in ours)
    )


def within(found: Found, pods: IPv4Network) -> bool:
    """Whether a route is for pods."""
    prefix = IPv4Network(found.details["prefix"])
    return prefix.subnet_of(pods)


def leading(seen: Seen) -> dict[IPv4Network, str]:
    """Hosts that routes lead to and that run."""
    hosts = {
        str(each.details["interface"]): each.ref.name
        for each in seen.of("instance")
        if each.fields["state"] == "running"
    }
    return {
        IPv4Network(each.details["prefix"]): hosts[each.id]
        for each in seen.of("route")
        if each.id in hosts
    }
