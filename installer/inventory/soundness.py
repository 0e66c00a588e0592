"""What values must satisfy together: networks that do not overlap, addresses inside them, groups
that exist."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Any

from installer.cluster import Host
from installer.errors import Problem
from installer.inventory.document import Entry

Where = Callable[[str], str]
"""Where the value at a key path stands."""
ANYWHERE = IPv4Network("0.0.0.0/0")


def networks(values: Mapping[str, Any], count: int, where: Where) -> Iterator[Problem]:
    """The cluster's networks.

    Args:
        values: of the section `network`, those that could be read.
        count: of hosts, each of which claims at least one block.
        where: places of the values.
    """
    ranges = [(key, values[key]) for key in ("pods", "services", "hosts") if key in values]
    for (first, one), (second, other) in combinations(ranges, 2):
        if one.overlaps(other):
            yield Problem(
                where=where(f"network.{second}"),
                what=f"network.{second}: {other} overlaps network.{first} {one}",
                advice="choose ranges that have no address in common",
            )
    services: IPv4Network | None = values.get("services")
    if services is not None and services.prefixlen > 28:
        yield Problem(
            where=where("network.services"),
            what=f"network.services: {services} has no tenth address, which cluster DNS needs",
            advice="use a /28 or larger",
        )
    yield from _blocks(values, count, where)


def _blocks(values: Mapping[str, Any], count: int, where: Where) -> Iterator[Problem]:
    pods: IPv4Network | None = values.get("pods")
    size: int = values.get("block_size", 25)
    if pods is None:
        return
    blocks = 0 if size < pods.prefixlen else 1 << (size - pods.prefixlen)
    if blocks < count:
        needed = size - max(count - 1, 0).bit_length()
        yield Problem(
            where=where("network.pods"),
            what=f"network.pods: {pods} holds {blocks} blocks of /{size}, "
            f"too few for {count} hosts",
            advice=f"use a /{needed} or larger, or a block_size above {size}",
        )


def zones(
    values: Mapping[str, Any], order: Sequence[str], hosts: Sequence[str], where: Where
) -> Iterator[Problem]:
    """Each zone's part of the pod network holds a block for each of its hosts.

    Args:
        values: of the section `network`.
        order: zones that have a part, whether there are hosts in them or not.
        hosts: the zone of each host.
        where: places of the values.
    """
    count = len(dict.fromkeys((*order, *hosts)))
    pods: IPv4Network | None = values.get("pods")
    if pods is None or count < 2:
        return
    size: int = values.get("block_size", 25)
    length = pods.prefixlen + (count - 1).bit_length()
    blocks = 0 if size < length else 1 << (size - length)
    fullest = max(dict.fromkeys(hosts), key=hosts.count, default="")
    if hosts.count(fullest) > blocks:
        yield Problem(
            where=where("network.pods"),
            what=f"network.pods: {pods} shared out over {count} zones leaves {blocks} blocks of "
            f"/{size} for each, too few for the {hosts.count(fullest)} hosts of {fullest}",
            advice="use a larger range, or a larger block_size",
        )


def addresses(
    hosts: Mapping[str, IPv4Address], within: IPv4Network | None, where: Where
) -> Iterator[Problem]:
    """The hosts' addresses: each its own, inside `network.hosts`."""
    owners: dict[IPv4Address, str] = {}
    for name, address in hosts.items():
        path = f"hosts.{name}.address"
        if address in owners:
            other = owners[address]
            yield Problem(
                where=where(path),
                what=f"{path}: {address} is also the address of {other} "
                f"({where(f'hosts.{other}.address')})",
                advice="give each host its own",
            )
        owners.setdefault(address, name)
        if within is None:
            continue
        if address not in within:
            yield Problem(
                where=where(path),
                what=f"{path}: {address} is not in network.hosts {within}",
                advice="change one of the two",
            )
        elif address in (within.network_address, within.broadcast_address):
            yield Problem(
                where=where(path),
                what=f"{path}: {address} is not for a host of {within}",
            )


def apart(
    hosts: Mapping[str, IPv4Address], values: Mapping[str, Any], where: Where
) -> Iterator[Problem]:
    """Hosts whose range is not given: none has a pod's or a Service's address."""
    for name, address in hosts.items():
        for key in ("pods", "services"):
            if key in values and address in values[key]:
                path = f"hosts.{name}.address"
                yield Problem(
                    where=where(path),
                    what=f"{path}: {address} is in network.{key} {values[key]}",
                    advice=f"choose another range for {key}",
                )


def around(addresses: Iterable[IPv4Address]) -> IPv4Network:
    """The smallest network that holds all addresses."""
    values = [int(address) for address in addresses] or [0]
    bits = (min(values) ^ max(values)).bit_length()
    return IPv4Network((min(values), 32 - bits), strict=False)


def bastions(hosts: Sequence[Host], beside: Sequence[str], where: Where) -> Iterator[Problem]:
    """The way to a host leads through one other that can be reached directly.

    Args:
        hosts: of the cluster.
        beside: names of bastions that are no hosts of it.
        where: places of the values.
    """
    direct = {host.name for host in hosts if not host.ssh.bastion} | set(beside)
    known = {host.name for host in hosts} | set(beside)
    for host in hosts:
        bastion, path = host.ssh.bastion, f"hosts.{host.name}.bastion"
        if not bastion or (bastion in direct and bastion != host.name):
            continue
        if bastion in known and bastion != host.name:
            what, advice = f"{bastion} has a bastion itself", "name one that is reached directly"
        else:
            near = difflib.get_close_matches(bastion, sorted(known - {host.name}), 1)
            what = f"{bastion} is not another host of the inventory, nor one of static.bastions"
            advice = f"did you mean {near[0]}?" if near else ""
        yield Problem(where=where(path), what=f"{path}: {what}", advice=advice)


def groups(
    members: Mapping[str, tuple[Entry, ...]], hosts: tuple[str, ...], where: Where
) -> Iterator[Problem]:
    """Groups name hosts that exist, each once; there is a controller, and no host is forgotten."""
    for group, entries in members.items():
        names = [entry.value for entry in entries]
        for index, entry in enumerate(entries):
            if entry.value not in hosts:
                near = difflib.get_close_matches(str(entry.value), hosts, 1)
                yield entry.problem(
                    f"there is no host {entry.value}", f"did you mean {near[0]}?" if near else ""
                )
            elif entry.value in names[:index]:
                yield entry.problem(f"{entry.value} is in {group} twice")
    if not members.get("controller"):
        yield Problem(
            where=where("groups"), what="groups.controller: no host", advice="name at least one"
        )
    grouped = {entry.value for entries in members.values() for entry in entries}
    for name in hosts:
        if name not in grouped:
            yield Problem(
                where=where(f"hosts.{name}"),
                what=f"hosts.{name}: is in no group",
                advice="add it to controller or nodes",
            )


def warnings(controllers: int) -> Iterator[str]:
    """What is allowed and unwise."""
    if controllers % 2 == 0 and controllers:
        yield (
            f"{controllers} controllers make {controllers} etcd members: an even number survives "
            f"no more failures than {controllers - 1}"
        )
