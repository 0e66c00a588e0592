"""Other people's tables that judge what is forwarded, pods' packets among it: they are named, and
never touched.

Only base chains are asked for, by netlink: what another table holds is none of our business, and
may be large. Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import shutil
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError, DataplaneError, NetlinkError
from romana.dataplane.messages import attributes, text
from romana.dataplane.requests import Netfilter
from romana.dataplane.ruleset import TABLE

GET_CHAIN = 10 << 8 | 4
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY = 1, 3, 4, 5
HOOK_NUMBER, HOOK_PRIORITY = 1, 2
FORWARD, DROP = 2, 0
FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
LEGACY = {"iptables": ("ip", "ip_tables_names"), "ip6tables": ("ip6", "ip6_tables_names")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignChain:
    """A chain that sees every forwarded packet.

    Args:
        table: as nft names it, family first; of legacy iptables with that in brackets.
        priority: the lower, the earlier.
        drops: whether it drops what its rules do not accept.
    """

    table: str
    name: str
    priority: int
    drops: bool

    def __str__(self) -> str:
        """In a few words."""
        policy = "drop" if self.drops else "accept"
        return f"chain {self.name} of table {self.table}, policy {policy}"

    @property
    def problem(self) -> str:
        """What an operator should know; empty where it does no harm by itself."""
        if not self.drops:
            return ""
        return (
            f"chain {self.name} of table {self.table} drops what its rules do not accept, packets"
            " of pods too: let it accept the pod network, or set its policy to accept"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "table": self.table,
            "chain": self.name,
            "priority": self.priority,
            "policy": "drop" if self.drops else "accept",
        }


async def foreign_chains() -> tuple[ForeignChain, ...]:
    """The chains of others at the hook `forward`, in the order in which packets meet them.

    Raises:
        DataplaneError: the kernel does not tell.
    """
    try:
        with Netfilter() as kernel:
            bodies = await kernel.dump(GET_CHAIN, bytes(4), "list its chains")
    except (NetlinkError, OSError) as error:
        raise DataplaneError(f"others' tables cannot be listed: {error}") from error
    found = [*parse(bodies), *await _legacy()]
    return tuple(sorted(found, key=lambda each: (each.priority, each.table, each.name)))


def parse(bodies: Iterable[bytes]) -> list[ForeignChain]:
    """The base chains at the hook `forward` that are not ours, of the kernel's answers. Pure."""
    found = []
    for body in bodies:
        values = attributes(body, 4)
        hook = attributes(values.get(CHAIN_HOOK, b""))
        family = FAMILIES.get(body[0])
        if family is None or HOOK_NUMBER not in hook or _number(hook[HOOK_NUMBER]) != FORWARD:
            continue
        table = f"{family} {text(values[CHAIN_TABLE])}"
        if table != TABLE:
            found.append(
                ForeignChain(
                    table=table,
                    name=text(values[CHAIN_NAME]),
                    priority=_number(hook[HOOK_PRIORITY]),
                    drops=_number(values.get(CHAIN_POLICY, b"\0\0\0\1")) == DROP,
                )
            )
    return found


async def _legacy() -> list[ForeignChain]:
    """The chain FORWARD of the old iptables, which nftables does not know of. It is asked only
    where the kernel has its tables already: to ask would load them."""
    found = []
    for program, (family, file) in LEGACY.items():
        tool = shutil.which(f"{program}-legacy") or shutil.which(program)
        if tool is None or "filter" not in _network_file(file).split():
            continue
        try:
            printed = await run(tool, "-w", "-S", "FORWARD")
        except CommandError as error:
            raise DataplaneError(f"others' tables cannot be listed: {error}") from error
        drops = "-P FORWARD DROP" in printed.splitlines()
        table = f"{family} filter (iptables-legacy)"
        found.append(ForeignChain(table=table, name="FORWARD", priority=0, drops=drops))
    return found


def _network_file(name: str) -> str:
    """A file of /proc/net, of this thread's network namespace; empty where there is none."""
    try:
        return Path(f"/proc/self/task/{threading.get_native_id()}/net/{name}").read_text()
    except OSError:
        return ""


def _number(value: bytes) -> int:
    return int(struct.unpack(">i", value)[0])
