"""Writes Tables to the kernel, and reads them back: the only place that runs iptables and ipset. It
changes no chain and no set but our own, and of others' chains only the rules that lead to ours."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping

from romana.dataplane.counted import DeniedPackets
from romana.dataplane.errors import CommandError, NetlinkError, RulesetError
from romana.dataplane.listing import Difference
from romana.dataplane.netlink import RulesetChanged
from romana.dataplane.xtables.change import Change, Placed, difference, replacement
from romana.dataplane.xtables.denials import DENIED, denied_packets
from romana.dataplane.xtables.listing import Listing, compare, listing
from romana.dataplane.xtables.programs import DENY, Chains
from romana.dataplane.xtables.sets import SetKey, set_name, set_serial
from romana.dataplane.xtables.setwriter import SetWriter, set_writer
from romana.dataplane.xtables.tables import EMPTY, MANGLE, NAT, Tables
from romana.dataplane.xtables.tools import Tools
from romana.dataplane.xtables.variant import Variant, families, in_use

ATTEMPTS = 3
PAUSE_S = 0.2
SETTLE_LIMIT_S = 1.0
SETTLE_PAUSE_S = 0.02

log = logging.getLogger(__name__)


async def left_over(variant: Variant) -> bool:
    """Whether a variant has chains of ours.

    Raises:
        RulesetError: its tables cannot be read.
    """
    return in_use(variant) and await Backend(variant).read_back() is not None


class Backend:
    """Our chains and sets on this host (in the network namespace that the process is in).

    Its methods may be called by several tasks at once; they take turns.

    Args:
        variant: the iptables to use.

    `drifted` is what the kernel held when drift was last looked for, if there was any.
    """

    def __init__(self, variant: Variant) -> None:
        self._turn = asyncio.Lock()
        self._writers: deque[int] = deque(maxlen=64)
        self._tools = Tools(variant, self._writers.append)
        self._sets: SetWriter | None = None
        self._committed: Placed | None = None
        self._old: frozenset[str] = frozenset()
        self._held: frozenset[str] = frozenset()
        self._printed: tuple[object, Mapping[tuple[int, str], Chains]] | None = None
        self._serial = 0
        self.variant = variant
        self.drifted: Listing | None = None

    @property
    def watched(self) -> frozenset[str]:
        """The tables of nftables whose changes, when the kernel tells them, concern us."""
        return frozenset(("ip mangle", "ip6 mangle")) if self.variant.nftables else frozenset()

    async def apply(self, wanted: Tables) -> bool:
        """Make the kernel hold tables, as a difference to those that were committed last; the first
        time, and whenever that fails, by replacing all that is ours.

        Returns:
            Whether anything had to be written.

        Raises:
            RulesetError: refused, several times; what was in force before still is.
        """
        async with self._turn:
            if self._committed is not None:
                change = difference(self._committed, wanted, self._name)
                if not change.sets and not change.rules and not change.swept:
                    self._committed = change.result
                    return False
                try:
                    await self._commit(change)
                except (CommandError, NetlinkError) as error:
                    log.warning(
                        "the policies are not as they were left; replacing them",
                        extra={"reason": str(error)},
                    )
                else:
                    return True
            await self._replace(wanted)
            return True

    async def replace(self, wanted: Tables) -> None:
        """Make the kernel hold tables, whatever it holds now of ours: the repair of drift. The
        rules of a table change at once.

        Raises:
            RulesetError: refused, several times; what was in force before still is.
        """
        async with self._turn:
            await self._replace(wanted)

    async def remove(self) -> None:
        """Remove all that is ours: nothing is judged any more.

        Raises:
            RulesetError: refused.
        """
        async with self._turn:
            await self._replace(EMPTY)
            self._committed = None
            await self._settle()

    async def read_back(self) -> Listing | None:
        """What the kernel holds now; None where nothing is ours.

        Raises:
            RulesetError: it cannot be read.
        """
        async with self._turn:
            found = await self._read()
            return found if any(found.chains.values()) else None

    async def drift(self, wanted: Tables) -> tuple[Difference, ...]:
        """What differs in the kernel from tables; nothing where all is well. Elements are compared
        one by one, rules as iptables prints them: what is wanted is loaded, without elements, into
        a network namespace made for it.

        Raises:
            RulesetError: it cannot be read.
        """
        async with self._turn:
            found = await self._read()
            differences = compare(wanted, await self._expected(wanted), found)
            self.drifted = found if differences else None
            return differences

    async def counters(self) -> Mapping[str, int]:
        """Packets dropped so far, by counter name (see `nftables.COUNTERS`). They begin at 0 again
        when all is replaced.

        Raises:
            RulesetError: they cannot be read.
        """
        try:
            return await self._tools.counters(families())
        except CommandError as error:
            raise RulesetError(f"the counters of policies cannot be read: {error}") from error

    async def denied(self) -> DeniedPackets:
        """Packets denied so far, by direction and endpoint's interface. They begin at 0 again when
        all is replaced, as at an agent's start.

        Raises:
            RulesetError: they cannot be read.
        """
        placed = self._committed
        names = (
            {key: name for key, name in placed.names.items() if key.code == DENIED}
            if placed
            else {}
        )
        try:
            sets = await self._tools.sets(names.values())
        except CommandError as error:
            raise RulesetError(f"denied packets cannot be read: {error}") from error
        return {
            direction: denied_packets(
                sets[name] for key, name in names.items() if key.owner == chain and name in sets
            )
            for direction, chain in DENY.items()
        }

    def own(self, change: RulesetChanged) -> bool:
        """Whether a change that the kernel reported was written by this backend."""
        return change.port in self._writers

    async def _replace(self, wanted: Tables) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._commit(await self._replacement(wanted, thorough=attempt < ATTEMPTS))
            except (CommandError, NetlinkError) as error:
                if attempt == ATTEMPTS:
                    raise RulesetError(
                        f"{self.variant} refused the policies {attempt} times: {error}"
                    ) from error
                log.warning(
                    "iptables refused the policies; trying again", extra={"reason": str(error)}
                )
                await asyncio.sleep(PAUSE_S * attempt)
            else:
                return

    async def _replacement(self, wanted: Tables, *, thorough: bool) -> Change:
        sets = await self._tools.set_names()
        self._serial = max((self._serial, *(set_serial(each) + 1 for each in sets)))
        found = {}
        for family in families():
            for table in (MANGLE, NAT):
                there = await self._tools.table(family, table)
                if there.chains or there.hooks or (family, table) in wanted.chains:
                    found[family, table] = there.found
        return replacement(found, sets, wanted, self._name, thorough=thorough)

    async def _commit(self, change: Change) -> None:
        """Write a change. Where the rules of no family could be written, the sets are put back, and
        the kernel is as it was."""
        self._committed = None
        self._sets = sets = self._sets or await set_writer()
        tried: tuple[CommandError | None, ...] = ()
        try:
            if change.sets:
                await sets.write(change.sets)
            there = families()
            texts = {family: text for family, text in change.rules.items() if family in there}
            tried = await self._tools.restore_rules(texts)
            for error in filter(None, tried):
                raise error
        except (CommandError, NetlinkError):
            if None not in tried and change.undone:
                await _take_back(sets, change)
            raise
        self._committed = change.result
        self._old = await _destroy(sets, self._old | change.swept)

    async def _settle(self) -> None:
        """Destroy old sets, of which nftables lets go a moment after its transaction. Those that
        rules still hold then are tried again each time, but not waited for (while backends are
        switched, there are rules of both; or somebody else has made some)."""
        end = time.monotonic() + SETTLE_LIMIT_S
        while self._old and self._sets:
            self._old = await _destroy(self._sets, self._old)
            if self._old <= self._held:
                return
            if time.monotonic() > end:
                log.info("old sets are still in use", extra={"sets": len(self._old)})
                self._held = self._old
                return
            await asyncio.sleep(SETTLE_PAUSE_S)

    async def _read(self) -> Listing:
        await self._settle()
        try:
            tables = {
                (family, table): await self._tools.table(family, table)
                for family in families()
                for table in (MANGLE, NAT)
            }
            sets = await self._tools.sets(await self._tools.set_names() - self._old)
        except CommandError as error:
            raise RulesetError(f"the policies cannot be read: {error}") from error
        return listing(tables, sets)

    async def _expected(self, wanted: Tables) -> Mapping[tuple[int, str], Chains]:
        """How this iptables prints the rules."""
        if self._printed is None or self._printed[0] != wanted.chains:
            try:
                printed = await self._tools.printed(wanted, families())
            except CommandError as error:
                raise RulesetError(f"the policies cannot be printed: {error}") from error
            self._printed = (wanted.chains, printed)
        return self._printed[1]

    def _name(self, key: SetKey) -> str:
        self._serial += 1
        return set_name(key, self._serial)


async def _take_back(sets: SetWriter, change: Change) -> None:
    try:
        await sets.take_back(change.undone)
    except (CommandError, NetlinkError) as error:
        log.warning("sets are not as they were", extra={"reason": str(error)})


async def _destroy(sets: SetWriter, names: frozenset[str]) -> frozenset[str]:
    """Destroy sets; those that are left."""
    if not names:
        return names
    try:
        return await sets.destroy(names)
    except (CommandError, NetlinkError) as error:
        log.warning("old sets are left over", extra={"reason": str(error)})
        return frozenset()
