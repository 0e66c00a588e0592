"""What an inventory says under `aws`, as a value, and where the hosts lie that it only counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from installer.cluster import Host
from installer.inventory import kinds
from installer.inventory.document import Entry
from installer.inventory.kinds import Kind, Unfit

RELEASES = ("ubuntu-14.04", "ubuntu-22.04", "ubuntu-24.04", "debian-12")
ROUTES = ("auto", "node", "zone")
ACCESS = ("public", "private")
HOST_KEYS = ("generated", "console")
FIRST_HOST = 10
"""Where counted hosts begin in their subnet: AWS keeps the first four addresses and the last."""
RESERVED = 4
ROOM_BITS = 2
"""Subnets are cut so that there is room for four, or the next power of two above the zones there
are: another zone then moves none."""
SMALLEST, LARGEST = 28, 16
"""Prefix lengths that a VPC and a subnet may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet of one zone. `id` names one that exists and is not ours."""

    zone: str
    network: IPv4Network
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """Where and of what an AWS cluster is made. `vpc` names one that exists and is not ours;
    `ssh_from` is empty for the operator's own address, found when it is needed."""

    region: str
    subnets: tuple[Subnet, ...]
    vpc: str = ""
    change_routes: bool = False
    routes: str = "auto"
    image: str = "ubuntu-24.04"
    ssh_from: tuple[IPv4Network, ...] = ()
    access: str = "public"
    host_keys: str = "generated"
    policies: tuple[str, ...] = ()
    profile: str = ""

    @property
    def zone_order(self) -> tuple[str, ...]:
        """The zones as they share out the pod network, with places for those that may come: a
        zone's part of it must never change."""
        zones = tuple(subnet.zone for subnet in self.subnets)
        room = 1 << max(ROOM_BITS, (len(zones) - 1).bit_length())
        return (*zones, *(f"reserve-{number + 1}" for number in range(len(zones), room)))


def keys() -> Mapping[str, Kind]:
    """The keys of the section."""
    return {
        "region": _shaped(r"[a-z]{2}(-[a-z]+)+-\d", "a region", "write it as eu-central-1"),
        "zones": _zones,
        "vpc": _shaped(r"vpc-[0-9a-f]+", "a VPC's id", "write it as vpc-0123abcd"),
        "subnets": _subnets,
        "change_routes": kinds.yes_or_no,
        "routes": _one_of(ROUTES),
        "image": _image,
        "ssh_from": _sources,
        "access": _one_of(ACCESS),
        "host_keys": _one_of(HOST_KEYS),
        "policies": _policies,
        "profile": kinds.text,
    }


def build(values: Mapping[str, Any], hosts: IPv4Network) -> Aws:
    """The section's value.

    Args:
        values: its keys, each sound in itself.
        hosts: `network.hosts`: what the VPC spans.

    Raises:
        Unfit: they do not go together.
    """
    given = dict(values)
    if "region" not in given:
        raise Unfit("region is missing", "write region: eu-central-1")
    zones: tuple[str, ...] = given.pop("zones", ())
    subnets: tuple[Subnet, ...] = given.pop("subnets", ())
    if given.get("access") == "private" and not given.get("ssh_from"):
        raise Unfit("access: private needs ssh_from", "name the networks that you come from")
    _owners(subnets, "vpc" in given)
    if zones and subnets:
        raise Unfit("zones and subnets cannot both be given", "drop zones")
    subnets = subnets or _cut(hosts, zones or (f"{given['region']}a",))
    _inside(subnets, given["region"], hosts)
    return Aws(subnets=subnets, **given)


def _owners(subnets: tuple[Subnet, ...], foreign_vpc: bool) -> None:
    """A VPC that exists is used with subnets that exist, and they with it."""
    foreign = [subnet for subnet in subnets if subnet.id]
    if foreign_vpc and not foreign:
        raise Unfit("a VPC that exists needs subnets", "subnets: {ZONE: {id: ..., cidr: ...}}")
    if foreign_vpc and len(foreign) != len(subnets):
        raise Unfit("a VPC that exists needs subnets that exist", "give each subnet an id")
    if foreign and not foreign_vpc:
        raise Unfit("subnets that exist need vpc", "write vpc: vpc-0123abcd")


def _inside(subnets: tuple[Subnet, ...], region: str, hosts: IPv4Network) -> None:
    wrong = [item.zone for item in subnets if not item.zone.startswith(region)]
    if wrong:
        raise Unfit(f"zone {wrong[0]} is not in region {region}")
    outside = [subnet for subnet in subnets if not subnet.network.subnet_of(hosts)]
    if outside:
        raise Unfit(f"subnet {outside[0].network} is not in network.hosts {hosts}")


def _cut(hosts: IPv4Network, zones: tuple[str, ...]) -> tuple[Subnet, ...]:
    bits = max(ROOM_BITS, (len(zones) - 1).bit_length())
    if not LARGEST <= hosts.prefixlen <= SMALLEST - bits:
        raise Unfit(
            f"network.hosts {hosts} cannot be a VPC with {1 << bits} subnets",
            f"use a /{LARGEST} to /{SMALLEST - bits}",
        )
    parts = hosts.subnets(prefixlen_diff=bits)
    return tuple(Subnet(zone=zone, network=part) for zone, part in zip(zones, parts, strict=False))


def places(section: Aws, count: int) -> tuple[tuple[IPv4Address, str], ...]:
    """Address and zone of hosts that are only counted: the controller in the first zone, nodes in
    turn over all zones.

    Raises:
        Unfit: a subnet is too small.
    """
    found = []
    for number in range(count):
        turn, index = divmod(number, len(section.subnets))
        subnet = section.subnets[index]
        if FIRST_HOST + turn >= subnet.network.num_addresses - 1:
            raise Unfit(f"subnet {subnet.network} is too small for {turn + 1} hosts")
        found.append((subnet.network[FIRST_HOST + turn], subnet.zone))
    return tuple(found)


def settled(section: Aws, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
    """The hosts with the zone that their address is in; a zone's subnet is a segment.

    Raises:
        Unfit: an address is in no subnet, or is one that AWS keeps.
    """
    return tuple(_settled(section, host) for host in hosts)


def _settled(section: Aws, host: Host) -> Host:
    if section.image not in RELEASES and host.ssh.user == "root":
        raise Unfit(
            f"{host.name}: who logs in on {section.image} is not known", "vars: {user: ubuntu}"
        )
    for subnet in section.subnets:
        if host.address in subnet.network:
            offset = int(host.address) - int(subnet.network.network_address)
            if offset < RESERVED or host.address == subnet.network.broadcast_address:
                raise Unfit(f"{host.name}: AWS keeps {host.address} of {subnet.network}")
            return replace(host, zone=subnet.zone, segment=subnet.zone)
    known = ", ".join(str(subnet.network) for subnet in section.subnets)
    raise Unfit(f"{host.name}: {host.address} is in no subnet", f"subnets are {known}")


def _shaped(pattern: str, what: str, advice: str) -> Kind:
    def read(entry: Entry) -> str:
        value = kinds.text(entry)
        if not re.fullmatch(pattern, value):
            raise Unfit(f"should be {what}, is {kinds.shown(entry)}", advice)
        return value

    return read


def _one_of(known: tuple[str, ...]) -> Kind:
    def read(entry: Entry) -> str:
        value = kinds.text(entry)
        if value not in known:
            raise Unfit(f"should be one of {', '.join(known)}, is {kinds.shown(entry)}")
        return value

    return read


_ZONE = _shaped(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "a zone", "write it as eu-central-1a")


def _image(entry: Entry) -> str:
    value = kinds.text(entry)
    if value not in RELEASES and not re.fullmatch(r"ami-[0-9a-f]+", value):
        raise Unfit(
            f"should be a release or an AMI, is {kinds.shown(entry)}",
            f"one of {', '.join(RELEASES)}, or ami-0123abcd",
        )
    return value


def _zones(entry: Entry) -> tuple[str, ...]:
    found = tuple(str(_ZONE(item)) for item in kinds.listed(entry))
    if len(set(found)) != len(found) or not found:
        raise Unfit("should name zones, each once")
    return found


def _sources(entry: Entry) -> tuple[IPv4Network, ...]:
    found = tuple(kinds.network(item) for item in kinds.listed(entry))
    if any(source.prefixlen == 0 for source in found):
        raise Unfit("would open SSH and the API to the world", "name the networks you come from")
    return found


def _policies(entry: Entry) -> tuple[str, ...]:
    found = tuple(kinds.text(item) for item in kinds.listed(entry))
    for value in found:
        if not re.fullmatch(r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/\S+", value):
            raise Unfit(f"{value!r} is not a policy's ARN", "write it as arn:aws:iam::aws:policy/X")
    return found


def _subnets(entry: Entry) -> tuple[Subnet, ...]:
    if not isinstance(entry.value, Mapping):
        raise Unfit(f"should map zones to subnets, is {kinds.shown(entry)}")
    found = tuple(_subnet(zone, item) for zone, item in entry.value.items())
    for index, one in enumerate(found):
        for other in found[:index]:
            if one.network.overlaps(other.network):
                raise Unfit(f"{one.network} overlaps {other.network}")
    return found


def _subnet(zone: str, entry: Entry) -> Subnet:
    _ZONE(replace(entry, value=zone))
    if not isinstance(entry.value, Mapping):
        return Subnet(zone=zone, network=kinds.network(entry))
    values = dict(_read_subnet(entry.value))
    if "network" not in values:
        raise Unfit(f"{zone} has no cidr", "write {id: subnet-0123abcd, cidr: 10.0.1.0/24}")
    return Subnet(zone=zone, **values)


def _read_subnet(values: Mapping[str, Entry]) -> Iterator[tuple[str, Any]]:
    for key, item in values.items():
        if key == "cidr":
            yield "network", kinds.network(item)
        elif key == "id":
            yield "id", _shaped(r"subnet-[0-9a-f]+", "a subnet's id", "subnet-0123abcd")(item)
        else:
            raise Unfit(f"{key} is not a key of a subnet", "known are id, cidr")
