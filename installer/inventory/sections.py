"""What belongs to one platform: the section of its name, and where hosts lie that are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from installer.cluster import Host
from installer.inventory import aws, static
from installer.inventory.kinds import Kind

Place = tuple[IPv4Address, str]
"""Address and zone of a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A platform's part of an inventory. The functions raise Unfit.

    Args:
        keys: the section's keys, of the inventory's directory.
        build: its value, of its keys' values and `network.hosts`.
        places: where hosts lie that are only counted, controller first; None where they are listed.
        settled: the hosts with what follows from the section.
    """

    keys: Callable[[Path], Mapping[str, Kind]]
    build: Callable[[Mapping[str, Any], IPv4Network], Any]
    settled: Callable[[Any, tuple[Host, ...]], tuple[Host, ...]]
    places: Callable[[Any, int], tuple[Place, ...]] | None = None


SECTIONS: Mapping[str, Section] = {
    "aws": Section(
        keys=lambda _: aws.keys(), build=aws.build, places=aws.places, settled=aws.settled
    ),
    "static": Section(keys=static.keys, build=static.build, settled=static.settled),
}
"""By the platform's name, which is the section's."""
