"""Which iptables: that of the x_tables of old (`legacy`), or the one that writes nftables. Both may
be installed, and rules of both are in force at once; so we use the one that the host uses."""

from __future__ import annotations

import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError, RulesetError
from romana.dataplane.xtables.reading import read_rules
from romana.dataplane.xtables.sets import PREFIX

LOCK_WAIT_S = 5
RESTORE_WAITS = (1, 6, 2)
"""Since when iptables-restore takes the lock of x_tables. Before that, a change in between is
refused by the kernel, and we try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A set of programs.

    Args:
        suffix: `-legacy`, `-nft`, or nothing where the host knows only one.
        version: of iptables.
        nftables: whether it writes nftables.
    """

    suffix: str = ""
    version: tuple[int, ...] = (1, 4, 21)
    nftables: bool = False

    def __str__(self) -> str:
        return f"iptables {'.'.join(map(str, self.version))} ({self.kind})"

    @property
    def kind(self) -> str:
        """`nft` or `legacy`."""
        return "nft" if self.nftables else "legacy"

    def iptables(self, family: int) -> tuple[str, ...]:
        """The words that begin a command of `iptables` itself."""
        return (self._program(family), "-w")

    def save(self, family: int, table: str) -> tuple[str, ...]:
        """The command that prints a table."""
        return (self._program(family, "-save"), "-t", table)

    def restore(self, family: int) -> tuple[str, ...]:
        """The command that reads a change."""
        words = (self._program(family, "-restore"), "--noflush")
        return (*words, "-w", str(LOCK_WAIT_S)) if self.version >= RESTORE_WAITS else words

    def _program(self, family: int, action: str = "") -> str:
        return f"{'iptables' if family == 4 else 'ip6tables'}{self.suffix}{action}"


async def variants() -> tuple[Variant, ...]:
    """Those that are installed; the host's own choice is the first.

    Raises:
        RulesetError: there is none.
    """
    if shutil.which("iptables") is None or shutil.which("ipset") is None:
        raise RulesetError("iptables or ipset is not installed: install both packages")
    default = await _ask("")
    found = [
        await _ask(suffix)
        for suffix in ("-legacy", "-nft")
        if shutil.which(f"iptables{suffix}-restore")
    ]
    if not found:
        return (default,)
    return tuple(sorted(found, key=lambda each: each.nftables != default.nftables))


async def choose() -> Variant:
    """The one whose tables hold more rules of others; if none do, the one that the host calls
    `iptables`.

    Raises:
        RulesetError: there is none.
    """
    found = await variants()
    if len(found) == 1:
        return found[0]
    counted = [(await _rules(each), each) for each in found]
    return max(counted, key=lambda each: each[0])[1]


def in_use(variant: Variant) -> bool:
    """Whether a variant may have tables here. To ask the old one would make the kernel load it."""
    return variant.nftables or bool(_network_file("ip_tables_names"))


def families() -> tuple[int, ...]:
    """The address families that this kernel has."""
    return (4, 6) if _network_path("if_inet6").exists() else (4,)


async def _ask(suffix: str) -> Variant:
    try:
        said = await run(f"iptables{suffix}", "--version")
    except CommandError as error:
        raise RulesetError(f"iptables does not work: {error}") from error
    return parse_version(said, suffix)


def parse_version(said: str, suffix: str) -> Variant:
    """Read what `iptables --version` says. Pure.

    Raises:
        RulesetError: that is no version.
    """
    found = re.search(r"v([\d.]+)", said)
    if found is None:
        raise RulesetError(f"iptables does not tell its version, but `{said.strip()}`")
    version = tuple(int(each) for each in found[1].strip(".").split("."))
    return Variant(suffix=suffix, version=version, nftables="nf_tables" in said)


async def _rules(variant: Variant) -> int:
    """How many rules others have in the tables of a variant."""
    if not in_use(variant):
        return 0
    count = 0
    for family in families():
        program = variant.save(family, "")[0]
        try:
            lines = (await read_rules(program)).splitlines()
        except CommandError:
            continue  # one that cannot read its tables is not in use
        count += sum(line.startswith("-A") and PREFIX not in line for line in lines)
    return count


def _network_file(name: str) -> str:
    try:
        return _network_path(name).read_text()
    except OSError:
        return ""


def _network_path(name: str) -> Path:
    """A file of /proc/net, of this thread's network namespace."""
    return Path(f"/proc/self/task/{threading.get_native_id()}/net/{name}")
