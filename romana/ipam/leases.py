"""Leases of single addresses to pods' interfaces, kept over restarts of the agent in SQLite.

A lease belongs to a sandbox's interface (container id and interface name), never to a pod's name:
two sandboxes of one pod may exist for a while. Rows are written before the kernel is touched and
removed after, so that an agent that is killed in between leaves a lease too many, which is found
and freed, and never an address in use without one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from romana.ipam.layout import holding, usable
from romana.objects import Address, Key, Network

SCHEMA = """
CREATE TABLE IF NOT EXISTS lease (
    address TEXT PRIMARY KEY, family INTEGER NOT NULL, container TEXT NOT NULL, ifname TEXT NOT
    NULL, namespace TEXT NOT NULL, pod TEXT NOT NULL, uid TEXT NOT NULL, netns TEXT NOT NULL,
    interface TEXT NOT NULL, boot TEXT NOT NULL, made REAL NOT NULL, UNIQUE (container, ifname,
    family)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS freed (turn INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL
UNIQUE);
"""


@contextmanager
def _transaction(base: sqlite3.Connection) -> Iterator[None]:
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")


class Exhausted(Exception):
    """No address is left in the blocks given.

    Args:
        version: 4 or 6: the family that has none.
    """

    def __init__(self, version: int) -> None:
        super().__init__(f"no IPv{version} address is left in this host's blocks")
        self.version = version


class Unavailable(Exception):
    """An address that was asked for cannot be leased; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A sandbox's interface, as the runtime names it."""

    container: str
    ifname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Addresses held by one attachment.

    Args:
        uid: the pod's, as the runtime gave it; may be empty.
        netns: path of the sandbox's network namespace.
        interface: the host's side of the veth.
        boot: the boot of the host in which it was made.
        made: when, in seconds since the epoch.
    """

    attachment: Attachment
    pod: Key
    uid: str
    netns: str
    interface: str
    boot: str
    addresses: tuple[Address, ...] = ()
    made: float = 0.0


class Leases:
    """The leases of this host.

    Args:
        path: the database; made if it is not there. ":memory:" for none on disk.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._all: tuple[Lease, ...] | None = None
        self._all_at = -1
        self._base = sqlite3.connect(path, isolation_level=None)
        # WAL without a sync at each commit: a crash of the process loses nothing; a crash of the
        # host may lose the last leases, whose pods it has ended too.
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.executescript(SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._base.close()

    def all(self) -> tuple[Lease, ...]:
        """Every lease, oldest first; the same tuple while nothing has changed."""
        if self._all is None or self._all_at != self._base.total_changes:
            self._all_at = self._base.total_changes
            self._all = self._read("ORDER BY made, container, ifname, family", ())
        return self._all

    def find(self, attachment: Attachment) -> Lease | None:
        """The lease of an attachment, or None."""
        found = self._read(
            "WHERE container = ? AND ifname = ? ORDER BY family",
            (attachment.container, attachment.ifname),
        )
        return found[0] if found else None

    def allocate(self, wanted: Lease, blocks: Sequence[Network], versions: Sequence[int]) -> Lease:
        """Lease one address of each family. An attachment that has a lease keeps it as it is.

        Args:
            wanted: the lease to make; its addresses are those asked for, if any. Its time is of no
                account.
            blocks: this host's blocks.
            versions: the families, 4 and 6.

        Raises:
            Exhausted: a family has no free address in the blocks. Nothing is leased.
            Unavailable: an address that was asked for is not this host's to give, or is in use.
        """
        known = self.find(wanted.attachment)
        if known is not None:
            return known
        with _transaction(self._base):
            asked = {address.version: address for address in wanted.addresses}
            addresses = [
                self._asked_address(blocks, asked[version])
                if version in asked
                else self._free_address(blocks, version)
                for version in versions
            ]
            self._insert(wanted, addresses)
        made = self.find(wanted.attachment)
        assert made is not None
        return made

    def adopt(self, lease: Lease) -> None:
        """Enter a lease of addresses that are in use already. Those that are leased stay with their
        holder."""
        with _transaction(self._base):
            free = (each for each in lease.addresses if each not in self._leased(each.version))
            self._insert(lease, tuple(free))

    def _insert(self, lease: Lease, addresses: Iterable[Address]) -> None:
        self._base.executemany(
            "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    str(address),
                    address.version,
                    lease.attachment.container,
                    lease.attachment.ifname,
                    *lease.pod,
                    lease.uid,
                    lease.netns,
                    lease.interface,
                    lease.boot,
                    self._clock(),
                )
                for address in addresses
            ],
        )

    def free(self, attachment: Attachment) -> Lease | None:
        """End the lease of an attachment, and return it; None where it had none."""
        lease = self.find(attachment)
        if lease is None:
            return None
        with _transaction(self._base):
            self._base.execute(
                "DELETE FROM lease WHERE container = ? AND ifname = ?",
                (attachment.container, attachment.ifname),
            )
            for address in lease.addresses:
                self._base.execute(
                    "INSERT OR REPLACE INTO freed (address) VALUES (?)", (str(address),)
                )
        return lease

    def free_count(self, blocks: Iterable[Network], version: int) -> int:
        """How many addresses of a family could still be leased from the blocks."""
        leased = {int(address) for address in self._leased(version)}
        return sum(
            len(usable(block)) - sum(1 for each in leased if each in usable(block))
            for block in blocks
            if block.version == version
        )

    def _free_address(self, blocks: Sequence[Network], version: int) -> Address:
        """An address that was never used, else the one that has been free for longest: whoever
        still holds an old connection to a pod that is gone must not meet another in its place.
        """
        leased = self._leased(version)
        freed = [
            ip_address(text)
            for (text,) in self._base.execute("SELECT address FROM freed ORDER BY turn")
        ]
        resting = set(freed)
        mine = [block for block in blocks if block.version == version]
        for block in mine:
            for number in usable(block):
                address = block.network_address + (number - int(block.network_address))
                if address not in leased and address not in resting:
                    return address
        for address in freed:
            if address not in leased and any(address in block for block in mine):
                return address
        raise Exhausted(version)

    def _asked_address(self, blocks: Sequence[Network], address: Address) -> Address:
        if holding(blocks, address) is None:
            raise Unavailable(f"{address} is in none of this host's blocks")
        if address in self._leased(address.version):
            raise Unavailable(f"{address} is leased to another pod")
        return address

    def _leased(self, version: int) -> set[Address]:
        rows = self._base.execute("SELECT address FROM lease WHERE family = ?", (version,))
        return {ip_address(text) for (text,) in rows}

    def _read(self, clause: str, parameters: Sequence[object]) -> tuple[Lease, ...]:
        columns = (
            "container, ifname, namespace, pod, uid, netns, interface, boot, made, family, address"
        )
        statement = f"SELECT {columns} FROM lease {clause}"  # noqa: S608 - clauses are written above
        found: dict[Attachment, Lease] = {}
        with closing(self._base.execute(statement, parameters)) as rows:
            for (
                container,
                ifname,
                namespace,
                pod,
                uid,
                netns,
                interface,
                boot,
                made,
                _,
                address,
            ) in rows:
                attachment = Attachment(container=container, ifname=ifname)
                before = found[attachment].addresses if attachment in found else ()
                found[attachment] = Lease(
                    attachment=attachment,
                    pod=(namespace, pod),
                    uid=uid,
                    netns=netns,
                    interface=interface,
                    boot=boot,
                    made=made,
                    addresses=(*before, ip_address(address)),
                )
        return tuple(found.values())
