"""What belongs to one platform: the section of its name, and where hosts lie that are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from installer.cluster import Host
from installer.inventory import aws
from installer.inventory.kinds import Kind

Place = tuple[IPv4Address, str]
"""Address and zone of a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A platform's part of an inventory. The functions raise Unfit.

    Args:
        keys: the section's keys.
        build: its value, of its keys' values and `network.hosts`.
        places: where hosts lie that are only counted, controller first.
        settled: the hosts with what follows from the section.
    """

    keys: Mapping[str, Kind]
    build: Callable[[Mapping[str, Any], IPv4Network], Any]
    places: Callable[[Any, int], tuple[Place, ...]]
    settled: Callable[[Any, tuple[Host, ...]], tuple[Host, ...]]


SECTIONS: Mapping[str, Section] = {
    "aws": Section(keys=aws.keys(), build=aws.build, places=aws.places, settled=aws.settled),
}
"""By the platform's name, which is the section's."""
