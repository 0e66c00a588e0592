"""The section `static` of an inventory: how packets get from one segment to another, and the hosts
that the way to others leads through.

Hosts of one segment reach each other directly, so each routes to the others' pods by itself. What
lies between segments is not ours. With `routing: static` hosts send what is for pods of another
segment to the gateway of theirs, and that router needs one route for each segment's share of the
pod network, which does not change while hosts come and go. With `routing: fabric` it is somebody
else's: hosts follow their default route, and BGP or a fabric's controller has to know where pods
are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Literal

from installer.cluster import SSH, Bastion, Host
from installer.inventory import kinds, schema
from installer.inventory.document import Entry
from installer.inventory.kinds import Kind, Unfit

Routing = Literal["static", "fabric"]
ROUTINGS = ("static", "fabric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """The section. `routing` is empty where it is not said."""

    routing: Routing | Literal[""] = ""
    gateways: tuple[tuple[str, IPv4Address], ...] = ()
    """Of each segment."""
    bastions: tuple[Bastion, ...] = ()

    @property
    def planned(self) -> tuple[str, ...]:
        """Zones that have their share of the pod network from the start, with hosts or without:
        the declared segments, so that the router's routes last."""
        return tuple(name for name, _ in self.gateways)


def keys(directory: Path) -> Mapping[str, Kind]:
    """The keys of the section.

    Args:
        directory: the inventory's, where relative paths start.
    """

    def bastions(entry: Entry) -> tuple[Bastion, ...]:
        return _bastions(entry, directory)

    return {"routing": kinds.one_of(ROUTINGS), "segments": _segments, "bastions": bastions}


def build(values: Mapping[str, Any], hosts: IPv4Network | None) -> Static:
    """The section's value.

    Raises:
        Unfit: its keys do not go together.
    """
    segments: tuple[tuple[str, IPv4Address | None], ...] = values.get("segments", ())
    routing = values.get("routing", "")
    if routing == "static":
        for name, gateway in segments:
            if gateway is None:
                raise Unfit(
                    f"segment {name} has no gateway, and routing is static",
                    f"segments: {{{name}: {{gateway: ADDRESS}}}}",
                )
    elif any(gateway is not None for _, gateway in segments):
        raise Unfit("segments have gateways, and routing is not static", "write routing: static")
    return Static(
        routing=routing,
        gateways=tuple((name, gateway) for name, gateway in segments if gateway is not None),
        bastions=values.get("bastions", ()),
    )


def settled(section: Static, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
    """The hosts with their gateways, and a zone for each segment where none is named.

    Raises:
        Unfit: it is not said how packets get from one of their segments to another.
    """
    zoned = tuple(_zoned(host) for host in hosts)
    segments = tuple(dict.fromkeys(host.segment for host in hosts))
    if len(segments) < 2:
        return zoned
    if not section.routing:
        raise Unfit(
            f"are in {len(segments)} segments ({', '.join(segments)}), and static.routing does not "
            "say how packets get from one to another",
            "write static: {routing: static}, or fabric where BGP or a fabric knows",
        )
    if section.routing == "fabric":
        return zoned
    gateways = dict(section.gateways)
    _require_gateways(zoned, gateways)
    _require_own_zones(zoned)
    return tuple(replace(host, gateway=gateways[host.segment]) for host in zoned)


def _zoned(host: Host) -> Host:
    return replace(host, zone=host.segment) if host.zone == "default" else host


def _require_gateways(hosts: tuple[Host, ...], gateways: Mapping[str, IPv4Address]) -> None:
    for host in hosts:
        if host.segment not in gateways:
            raise Unfit(
                f"{host.name} is in segment {host.segment}, which static.segments does not name",
                f"segments: {{{host.segment}: {{gateway: ADDRESS}}}}",
            )


def _require_own_zones(hosts: tuple[Host, ...]) -> None:
    """A zone has one share of the pod network, and so one segment to route it to."""
    segments: dict[str, str] = {}
    for host in hosts:
        other = segments.setdefault(host.zone, host.segment)
        if other != host.segment:
            raise Unfit(
                f"zone {host.zone} spans segments {other} and {host.segment}, and a router routes "
                "each zone's pods to one",
                "give each segment zones of its own, or leave zone out",
            )


def _segments(entry: Entry) -> tuple[tuple[str, IPv4Address | None], ...]:
    reader = schema.Reader()
    found = []
    for name, item in reader.mapping(entry).items():
        kinds.name(63)(replace(item, value=name))
        values = reader.values(item, {"gateway": kinds.address})
        found.append((name, values.get("gateway")))
    if reader.problems:
        raise Unfit("", problems=tuple(reader.problems))
    return tuple(found)


def _bastions(entry: Entry, directory: Path) -> tuple[Bastion, ...]:
    reader = schema.Reader()
    found = []
    allowed = {
        "address": kinds.text,
        "user": kinds.text,
        "port": kinds.whole(1, 65535),
        "key": kinds.file_below(directory),
        "host_key": kinds.text,
    }
    for name, item in reader.mapping(entry).items():
        values = reader.values(item, allowed)
        if "address" not in reader.mapping(item):
            reader.problems.append(item.problem("address is missing"))
        found.append(Bastion(name=name, ssh=SSH(**values)))
    if reader.problems:
        raise Unfit("", problems=tuple(reader.problems))
    return tuple(found)
