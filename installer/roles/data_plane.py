"""What enforces policies on a host, by the inventory's `network.backend`: the packages and kernel
modules that takes, and what a host lacks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from installer import distributions, releases
from installer.cluster import Backend
from installer.distributions import Distribution
from installer.hosts.facts import Facts, kernel_release

OLDEST_NFT = (1, 0)
"""Of which the agent's table has all it needs."""
_IPTABLES_PACKAGES = ("ipset",)
_OLDEST_KERNEL = ".".join(map(str, releases.CONCATENATED_INTERVALS))
_MORE_MODULES = "install the kernel's extra modules (Ubuntu: linux-modules-extra-$(uname -r))"
_SEEN = {
    "nftables": ("nf_tables",),
    "legacy": ("ip_tables", "ip_set"),
    "nft": ("nf_tables", "ip_set"),
}
"""Modules that are looked for on a host, by the backend or the kind of its iptables."""
_LOADED = {
    "nftables": ("nf_tables",),
    "legacy": ("ip_tables", "ip6_tables", "ip_set", "xt_set"),
    "nft": ("nf_tables", "nft_compat", "ip_set", "xt_set"),
}
"""Modules that are loaded at every boot."""


def backend(facts: Facts, wanted: Backend) -> Literal["nftables", "iptables"]:
    """Which one a host will use: the one that is asked for; of itself, the agent takes nftables
    where kernel and program have what it needs."""
    if wanted != "auto":
        return wanted
    row = _row(facts)
    if row is not None and _nft(row) < OLDEST_NFT:
        return "iptables"
    return releases.data_plane(kernel_release(facts.kernel))


def every_package() -> tuple[str, ...]:
    """Those that any backend needs."""
    return _IPTABLES_PACKAGES


def packages(facts: Facts, wanted: Backend) -> tuple[str, ...]:
    """Those that the backend needs beside what every host has. (nft and iptables are among that:
    what one backend has left, the other one's agent removes by its programs.)"""
    return _IPTABLES_PACKAGES if backend(facts, wanted) == "iptables" else ()


def modules(facts: Facts, wanted: Backend) -> tuple[str, ...]:
    """Kernel modules to have loaded."""
    return _LOADED[_kind(facts, wanted)]


def lacks(facts: Facts, wanted: Backend) -> Iterator[tuple[str, str]]:
    """What keeps the backend from working on a host, if anything, in one line: (what, remedy)."""
    chosen = backend(facts, wanted)
    reasons = tuple(_reasons(facts, chosen))
    if not reasons:
        return
    other: Backend = "iptables" if chosen == "nftables" else "nftables"
    ways = [_MORE_MODULES] if _missing(facts, chosen) else []
    if not any(_reasons(facts, other)):
        ways.append(f"use network.backend: {other}")
    if not ways:
        ways.append("use a newer release of the distribution")
    yield f"for the policies' backend, {chosen}, {' and '.join(reasons)}", ", or ".join(ways)


def _reasons(facts: Facts, chosen: Backend) -> Iterator[str]:
    row, missing = _row(facts), _missing(facts, chosen)
    if chosen == "nftables" and row is not None and _nft(row) < OLDEST_NFT:
        yield f"{row.name} has {f'nft {row.nftables}' if row.nftables else 'no nft'}, not 1.0"
    if chosen == "nftables" and releases.data_plane(kernel_release(facts.kernel)) == "iptables":
        yield f"kernel {facts.kernel} is older than {_OLDEST_KERNEL}"
    if missing:
        yield f"the kernel has no {', '.join(missing)}"


def _missing(facts: Facts, chosen: Backend) -> list[str]:
    return [each for each in _SEEN[_kind(facts, chosen)] if each not in facts.modules]


def _kind(facts: Facts, wanted: Backend) -> str:
    if backend(facts, wanted) == "nftables":
        return "nftables"
    row = _row(facts)
    return row.firewall if row is not None else "legacy"


def _row(facts: Facts) -> Distribution | None:
    return distributions.find(facts.os_id, facts.os_version)


def _nft(row: Distribution) -> tuple[int, ...]:
    return tuple(int(part) for part in row.nftables.split(".")) if row.nftables else ()
