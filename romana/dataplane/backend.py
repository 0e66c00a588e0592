"""Writes a Ruleset to the kernel, and reads it back: the only place that runs nft. It names no
table but our own. What pods and policies change is written directly, without nft."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Mapping, Sequence

from romana.dataplane.commands import run
from romana.dataplane.counted import DeniedPackets, denied_packets
from romana.dataplane.direct import Order, orders
from romana.dataplane.errors import CommandError, NetlinkError, RulesetError
from romana.dataplane.listing import (
    Difference,
    Listing,
    compare,
    parse_counters,
    parse_listing,
    presumed,
)
from romana.dataplane.messages import attributes
from romana.dataplane.netlink import RulesetChanged
from romana.dataplane.requests import Netfilter
from romana.dataplane.ruleset import (
    EMPTY,
    TABLE,
    Ruleset,
    changeable,
    creation,
    difference,
    removal,
    replacement,
    unhooking,
)
from romana.dataplane.transition import transition

ATTEMPTS = 3
PAUSE_S = 0.2
COMMIT_TIMEOUT_S = 60.0
SUBSYSTEM = 10
GET_GENERATION = SUBSYSTEM << 8 | 16
GENERATION_NUMBER = 1
ABSENT = "No such file or directory"
"""What nft says of a table that does not exist."""

log = logging.getLogger(__name__)


class Backend:
    """The table of this host (of the network namespace that the process is in).

    Its methods may be called by several tasks at once; they take turns.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._committed: Ruleset | None = None
        self._kernel: Netfilter | None = None
        self._writers: deque[int] = deque(maxlen=64)
        self._printed: tuple[Ruleset, Listing] | None = None
        self._sound: tuple[bytes, Ruleset] | None = None
        self.drifted = ""
        """What nft printed when drift was last found."""

    @property
    def watched(self) -> frozenset[str]:
        """The tables of nftables whose changes, as the kernel tells them, concern us."""
        return frozenset((TABLE,))

    async def apply(self, wanted: Ruleset) -> bool:
        """Make the kernel hold a table, as a difference to the one that was committed last, or that
        an agent before this one has left; where that is not known, and whenever that fails, by
        replacing it as a whole.

        Returns:
            Whether anything had to be written.

        Raises:
            RulesetError: refused, several times; what was in force before still is.
        """
        async with self._turn:
            if self._committed is None:
                self._committed = await self._left(wanted)
            if self._committed is not None:
                try:
                    return await self._change(self._committed, wanted)
                except (CommandError, NetlinkError) as error:
                    log.warning(
                        "the table is not as it was left; replacing it",
                        extra={"reason": str(error)},
                    )
            await self._replace(wanted)
            return True

    async def _left(self, wanted: Ruleset) -> Ruleset | None:
        """What the kernel holds, as where an agent has been restarted; None where it is not of the
        form of what is wanted. To replace it would cost, now and then, the first packet of a
        connection: one that is being judged by the old rules at the moment of the switch finds
        their maps empty."""
        try:
            found = await _parsed(await self._print())
            if found is None:
                return EMPTY
            left = presumed(found, wanted)
            differences = compare(left, await self._expected(left.structure()), found)
        except RulesetError:
            return None  # what cannot be read is replaced
        return None if differences else left

    async def replace(self, wanted: Ruleset) -> None:
        """Make the kernel hold a table, whatever it holds now, in one transaction: the repair of
        drift.

        Raises:
            RulesetError: refused, several times; what was in force before still is.
        """
        async with self._turn:
            await self._replace(wanted)

    async def remove(self) -> None:
        """Remove the table: nothing is judged any more.

        Raises:
            RulesetError: refused.
        """
        async with self._turn:
            try:
                await self._commit(unhooking(), None)
                await self._commit(removal(), None)
            except CommandError as error:
                raise RulesetError(f"table {TABLE} cannot be removed: {error}") from error

    async def read_back(self) -> Listing | None:
        """What the kernel holds now; None where the table does not exist.

        Raises:
            RulesetError: it cannot be read.
        """
        async with self._turn:
            return await _parsed(await self._print())

    async def drift(self, wanted: Ruleset) -> tuple[Difference, ...]:
        """What differs in the kernel from a table; nothing where all is well. Elements are compared
        one by one, rules as nft prints them: what is wanted is loaded, without elements, into a
        network namespace made for it.

        Raises:
            RulesetError: it cannot be read.
        """
        async with self._turn:
            generation = await self._generation()
            if self._sound == (generation, wanted):
                return ()
            output = await self._print()
            found = await _parsed(output)
            differences = compare(wanted, await self._expected(wanted.structure()), found)
            self._sound = None if differences else (generation, wanted)
            self.drifted = (output or "") if differences else ""
            return differences

    async def counters(self) -> Mapping[str, int]:
        """Packets dropped so far, by counter name (see `nftables.COUNTERS`). They begin at 0 again
        when the table is replaced as a whole.

        Raises:
            RulesetError: they cannot be read.
        """
        try:
            return parse_counters(
                await run("nft", "-j", "list", "counters", "table", *TABLE.split())
            )
        except CommandError as error:
            raise RulesetError(f"the counters of table {TABLE} cannot be read: {error}") from error

    async def denied(self) -> DeniedPackets:
        """Packets denied so far, by direction and endpoint's interface. They begin at 0 again when
        the table is replaced as a whole.

        Raises:
            RulesetError: they cannot be read.
        """
        return await denied_packets()

    def own(self, change: RulesetChanged) -> bool:
        """Whether a change that the kernel reported was written by this backend."""
        return change.port in self._writers

    async def _change(self, old: Ruleset, wanted: Ruleset) -> bool:
        """Write a difference, a transaction for each table on the way."""
        if not changeable(old, wanted):
            await self._commit(replacement(wanted), wanted)
            return True
        changed = False
        for each in transition(old, wanted):
            await self._step(old, each)
            old, changed = each, True
        self._committed = wanted
        return changed

    async def _step(self, old: Ruleset, wanted: Ruleset) -> None:
        """Write a difference as one transaction: directly where it is in programs and elements,
        else by nft."""
        direct = orders(old, wanted)
        if direct is None:
            await self._commit(difference(old, wanted), wanted)
        elif direct:
            await self._order(direct, wanted)

    async def _order(self, direct: Sequence[Order], result: Ruleset) -> None:
        """Give a change to the kernel. What somebody else does to other tables meanwhile makes it
        ask for another try."""
        self._committed = None
        what = f"change table {TABLE}"
        for attempt in range(1, ATTEMPTS + 1):
            kernel, self._kernel = self._kernel or Netfilter().open(), None
            self._writers.append(kernel.port)
            try:
                generation = await _generation(kernel)
                await kernel.commit(SUBSYSTEM, generation, direct, what)
            except BaseException as error:
                kernel.close()
                again = isinstance(error, NetlinkError) and error.number == errno.ERESTART
                if not again or attempt == ATTEMPTS:
                    raise
            else:
                self._kernel, self._committed = kernel, result
                return

    async def _replace(self, wanted: Ruleset) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._commit(replacement(wanted), wanted)
            except CommandError as error:
                if attempt == ATTEMPTS:
                    raise RulesetError(
                        f"nftables refused table {TABLE} {attempt} times: {error}"
                    ) from error
                log.warning(
                    "nftables refused the table; trying again", extra={"reason": str(error)}
                )
                await asyncio.sleep(PAUSE_S * attempt)
            else:
                return

    async def _commit(self, transaction: str, result: Ruleset | None) -> None:
        """Give a transaction to nft. A failure leaves the kernel as it was, but what that was is
        then in doubt."""
        self._committed = None
        await run(
            "nft",
            "-f",
            "-",
            text=transaction,
            timeout_s=COMMIT_TIMEOUT_S,
            started=self._writers.append,
        )
        self._committed = result

    async def _print(self) -> str | None:
        try:
            return await run("nft", "-j", "-n", "list", "table", *TABLE.split())
        except CommandError as error:
            if ABSENT in error.output:
                return None
            raise RulesetError(f"table {TABLE} cannot be read: {error}") from error

    async def _generation(self) -> bytes:
        """What the kernel changes with every transaction of anybody: while it is the same, so is
        the table."""
        try:
            with Netfilter() as kernel:
                return await _generation(kernel)
        except (NetlinkError, OSError) as error:
            raise RulesetError(f"table {TABLE} cannot be read: {error}") from error

    async def _expected(self, structure: Ruleset) -> Listing:
        """How this nft prints a table on this kernel."""
        if self._printed is None or self._printed[0] != structure:
            command = ("unshare", "--net", "nft", "-j", "-n", "-e", "-f", "-")
            try:
                output = await run(*command, text=creation(structure))
            except CommandError as error:
                raise RulesetError(f"table {TABLE} cannot be printed: {error}") from error
            self._printed = (structure, parse_listing(output))
        return self._printed[1]


async def _parsed(output: str | None) -> Listing | None:
    # A large table takes a second to read: in a thread, others go on meanwhile.
    return None if output is None else await asyncio.to_thread(parse_listing, output)


async def _generation(kernel: Netfilter) -> bytes:
    answer = await kernel.ask(GET_GENERATION, bytes(4), "tell nftables' generation")
    return attributes(answer, 4)[GENERATION_NUMBER]
