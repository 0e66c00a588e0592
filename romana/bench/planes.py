"""The data planes that are measured, and how each is put into the kernel of a host."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from romana.bench import shapes
from romana.bench.workload import allowed
from romana.dataplane.backends import BackendName
from romana.lab.command import LabError
from romana.lab.namespaces import Namespace

LOAD_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A data plane.

    Args:
        name: in results and on the command line.
        title: what it is, in a few words.
        backend: of the real agent; None where the bench writes the rules itself.
        counted: whether it takes policies at all.
        most: policies that it is loaded with; beyond that, loading alone takes minutes.
        text: the rules of the server's host, of policies, client and server's interface.
        iptables: whether they are for `iptables-restore`, rather than for `nft -f`.
    """

    name: str
    title: str
    backend: BackendName | None = None
    counted: bool = True
    most: int | None = None
    text: Callable[[int, IPv4Address, str], str] | None = None
    iptables: bool = False

    @property
    def is_list(self) -> bool:
        """Whether it tries one policy after the other."""
        return self.counted and self.backend is None


NONE = Plane(name="none", title="no filtering at all", counted=False)
ESTABLISHED = Plane(
    name="established",
    title="connection tracking, and the rule for established connections alone",
    counted=False,
    text=lambda *_: shapes.established(),
)
NAT = Plane(
    name="nat",
    title="the same, with an empty chain for address translation",
    counted=False,
    text=lambda *_: shapes.established(translating=True),
)
LIST = Plane(
    name="list",
    title="an iptables chain for each policy, as in 2016",
    most=5_000,
    text=lambda count, client, interface: shapes.listed(allowed(count), client, interface),
    iptables=True,
)
CHAINS = Plane(
    name="chains",
    title="an nftables chain and a set for each policy, as today's rivals do",
    most=5_000,
    text=lambda count, client, interface: shapes.chains(allowed(count), client, interface),
)
BASELINES = (NONE, ESTABLISHED, NAT, LIST, CHAINS)


def romana(backend: BackendName) -> Plane:
    """Romana's own, by the real agent."""
    title = f"Romana with {'nftables' if backend == 'nftables' else f'{backend} and ipset'}"
    return Plane(name=backend, title=title, backend=backend)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plane of the bench's own on a host, and how to count what meets its policies."""

    plane: Plane
    host: Namespace

    def hits(self) -> tuple[int, ...]:
        """How often each policy has been tried, in order; then how often the last one accepted.

        Raises:
            LabError: it cannot be read.
        """
        if self.plane.iptables:
            tool = iptables().removesuffix("-restore")
            listing = self.host.run(tool, "-t", "filter", "-L", "-v", "-x", "-n")
            return shapes.list_hits(listing)
        return shapes.chain_hits(self.host.run("nft", "-j", "list", "table", *_TABLE))


_TABLE = shapes.TABLE.split()


def load(plane: Plane, count: int, client: IPv4Address, interface: str, host: Namespace) -> Loaded:
    """Put a plane of the bench's own into the kernel of the server's host.

    Raises:
        LabError: the kernel or its tool refuses.
    """
    if plane.text is not None:
        text = plane.text(count, client, interface)
        words = (iptables(),) if plane.iptables else ("nft", "-f", "-")
        host.run(*words, stdin=text, timeout_s=LOAD_LIMIT_S)
    return Loaded(plane, host)


def load_for_client(plane: Plane, host: Namespace) -> None:
    """The same on the client's host, where no policy judges anybody."""
    load(plane, 0, IPv4Address(0), "", host)


def iptables() -> str:
    """The `iptables-restore` of 2016's kind, where there is one.

    Raises:
        LabError: there is none at all.
    """
    for name in ("iptables-legacy-restore", "iptables-restore"):
        if shutil.which(name):
            return name
    raise LabError("iptables-restore is not installed: the plane `list` needs it")
