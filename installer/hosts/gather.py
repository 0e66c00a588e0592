"""Reads the facts of a host: one script, and a pure parser of what it prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from installer.errors import CommandFailed
from installer.hosts.facts import Facts, InitSystem
from installer.hosts.session import Session

SCRIPT = (Path(__file__).parent / "facts.sh").read_text()


def gather(session: Session, address: IPv4Address, now: Callable[[], float]) -> Facts:
    """Asks the host, once.

    Args:
        session: to the host.
        address: the host's in the inventory, by which its interface is found.
        now: the operator's clock, in seconds since 1970.

    Raises:
        CommandFailed: what it printed is not facts.
        Unreachable: the connection is gone.
    """
    before = now()
    output = session.run(SCRIPT, timeout_s=30)
    after = now()
    try:
        return parse(output.stdout, address, (before + after) / 2)
    except (LookupError, ValueError) as error:
        raise CommandFailed(
            session.host,
            f"{session.host}: its facts cannot be read: {error}",
            "the user must be root, or able to become root by sudo",
            output.last_lines(5),
        ) from error


def parse(text: str, address: IPv4Address, clock: float) -> Facts:
    """Facts from the script's output.

    Args:
        text: lines of "key value".
        address: the host's in the inventory.
        clock: the operator's clock at the middle of the round trip.

    Raises:
        LookupError, ValueError: something that is always there is missing or malformed.
    """
    rows = [line.partition(" ")[::2] for line in text.splitlines()]
    one = dict(rows)
    host_clock = float(one["clock"].removesuffix(".%N"))
    addresses = [value.split() for value in _all(rows, "address")]
    interface = next((row[0] for row in addresses if row[1].split("/")[0] == str(address)), "")
    mtus = dict(value.split() for value in _all(rows, "mtu"))
    return Facts(
        hostname=one["hostname"],
        machine_id=one["machine_id"],
        os_id=one["os_id"],
        os_version=one["os_version"],
        kernel=one["kernel"],
        architecture=one["architecture"],
        init=_init(one["init"]),
        uid=int(one["uid"]),
        python=one.get("python", ""),
        cpus=int(one["cpus"]),
        memory_mb=int(one["memory_kb"]) // 1024,
        disk_free_mb=int(one["disk_free_kb"]) // 1024,
        swap_mb=int(one["swap_kb"]) // 1024,
        cgroup="v2" if one["cgroup"] == "cgroup2fs" else "v1",
        container=one["container"],
        clock=host_clock,
        clock_offset_s=host_clock - clock,
        addresses=tuple(row[1] for row in addresses),
        interface=interface,
        mtu=int(mtus.get(interface, "0")),
        listening=tuple(_listening(value) for value in _all(rows, "listening")),
        modules=_all(rows, "module"),
        cni_configs=_all(rows, "cni"),
        forward_policy=one["forward_policy"],
        forward_drops=_all(rows, "forward_drop"),
        links=tuple(mtus),
        routes=tuple(_pair(value) for value in _all(rows, "route")),
        packages=tuple(_pair(value) for value in _all(rows, "package")),
    )


def _all(rows: Sequence[tuple[str, ...]], key: str) -> tuple[str, ...]:
    """The values of a key that may come more than once."""
    return tuple(row[1] for row in rows if row[0] == key)


def _pair(value: str) -> tuple[str, str]:
    first, second = value.split()
    return first, second


def _init(word: str) -> InitSystem:
    return "systemd" if word == "systemd" else "upstart" if word == "upstart" else "unknown"


def _listening(value: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+) (.*)", value)
    if match is None:
        raise ValueError(f"not a listener: {value}")
    return int(match[1]), match[2]
