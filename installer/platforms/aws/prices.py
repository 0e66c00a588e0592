"""What a cluster costs: on-demand list prices in US dollars, Linux, without tax and traffic.

The table is of `AS_OF`. A type or region that is not in it is said to be unknown, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

AS_OF = "2025-06"
HOURS_PER_MONTH = 730
PUBLIC_ADDRESS_PER_HOUR = Decimal("0.005")
"""Of each public IPv4 address in use, since February 2024."""
GP3_PER_GB_MONTH: Mapping[str, Decimal] = {
    region: Decimal(price)
    for region, price in {
        "us-east-1": "0.08",
        "us-east-2": "0.08",
        "us-west-2": "0.08",
        "eu-west-1": "0.088",
        "eu-central-1": "0.0952",
    }.items()
}
_US = ("us-east-1", "us-east-2", "us-west-2")
_SIZES = {"micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}
"""How burstable types are priced: each size costs twice the one below."""
_LARGE = {"large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8, "8xlarge": 16}
_MICRO: Mapping[str, Mapping[str, str]] = {
    "t3": {"us": "0.0104", "eu-west-1": "0.0114", "eu-central-1": "0.0120"},
    "t4g": {"us": "0.0084", "eu-west-1": "0.0092", "eu-central-1": "0.0096"},
}
_OF_LARGE: Mapping[str, Mapping[str, str]] = {
    "m5": {"us": "0.096", "eu-west-1": "0.107", "eu-central-1": "0.115"},
    "m6i": {"us": "0.096", "eu-west-1": "0.107", "eu-central-1": "0.115"},
    "c5": {"us": "0.085", "eu-west-1": "0.096", "eu-central-1": "0.097"},
    "r5": {"us": "0.126", "eu-west-1": "0.141", "eu-central-1": "0.152"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is paid for of one host."""

    type: str
    disk_gb: int
    public: bool


def per_hour(type_: str, region: str) -> Decimal | None:
    """The price of an instance; None where the table does not have it."""
    family, _, size = type_.partition(".")
    place = "us" if region in _US else region
    for table, sizes in ((_MICRO, _SIZES), (_OF_LARGE, _LARGE)):
        price = table.get(family, {}).get(place)
        if price is not None and size in sizes:
            return Decimal(price) * sizes[size]
    return None


def told(machines: Iterable[Machine], region: str) -> str:
    """The cost of hosts in one line, with what is not known."""
    total, unknown = Decimal(0), set[str]()
    for machine in machines:
        price, disk = per_hour(machine.type, region), GP3_PER_GB_MONTH.get(region)
        total += price or Decimal(0)
        total += (disk or Decimal(0)) * machine.disk_gb / HOURS_PER_MONTH
        total += PUBLIC_ADDRESS_PER_HOUR * machine.public
        unknown |= {machine.type} if price is None else set()
        unknown |= {"disks"} if disk is None else set()
    text = (
        f"about ${total:.2f} an hour, ${total * HOURS_PER_MONTH:.0f} a month, without traffic and "
        f"tax (list prices of {AS_OF})"
    )
    if unknown:
        names = ", ".join(sorted(unknown))
        text += f"; and the unknown price of {names} in {region} on top"
    return text
