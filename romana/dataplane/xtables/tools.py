"""The commands of iptables and ipset that this backend needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import count

from romana.dataplane.commands import run
from romana.dataplane.errors import CommandError
from romana.dataplane.xtables.change import Found, replacement
from romana.dataplane.xtables.listing import TableListing, parse_counters, parse_save
from romana.dataplane.xtables.programs import Chains
from romana.dataplane.xtables.reading import read_rules
from romana.dataplane.xtables.sets import (
    PREFIX,
    IpSet,
    SetKey,
    destruction,
    parse_held,
    parse_sets,
    set_name,
)
from romana.dataplane.xtables.tables import COUNTERS, HOOKS, MANGLE, NAT, POSTROUTING, Tables
from romana.dataplane.xtables.variant import Variant

COMMIT_TIMEOUT_S = 60.0
SWEEP_LIMIT_S = 1.0
SWEEP_PAUSE_S = 0.02
PROMPT = "ipset> "
ABSENT = (1, 3)
"""Exit codes of iptables where a chain is not there, or the kernel has no such table."""
PRINTING = 'printf "%s\\n" "$@" | ipset restore && {restore} && {save}'

log = logging.getLogger(__name__)


class Tools:
    """Runs iptables and ipset.

    Args:
        variant: the iptables to use.
        started: called with the process id of each that writes.
    """

    def __init__(self, variant: Variant, started: Callable[[int], None]) -> None:
        self._variant = variant
        self._started = started

    async def table(self, family: int, table: str) -> TableListing:
        """What a table holds of ours. Of `nat`, where others have thousands of rules, only our
        chain is asked for.

        Raises:
            CommandError: it cannot be read.
        """
        if table == MANGLE:
            return parse_save(await read_rules(*self._variant.save(family, table)), table)
        try:
            command = (*self._variant.iptables(family), "-t", table, "-S", POSTROUTING)
            said = await read_rules(*command)
        except CommandError as error:
            if error.code in ABSENT:
                return TableListing()
            raise
        (hook,) = HOOKS[table]
        hooked = await self._has(family, table, hook)
        chains = parse_save(said, table).chains
        there = {hook: 1} if hooked else {}
        return TableListing(chains=chains, hooks=there, first=frozenset(there))

    async def set_names(self) -> frozenset[str]:
        """The names of our sets."""
        names = (await run("ipset", "list", "-n")).split()
        return frozenset(each for each in names if each.startswith(PREFIX))

    async def sets(self, names: Iterable[str]) -> Mapping[str, IpSet]:
        """Sets by name; ipset is asked for these alone."""
        wanted = "".join(f"save {each}\n" for each in sorted(names))
        if not wanted:
            return {}
        return await asyncio.to_thread(parse_sets, await self._ask_ipset(wanted))

    async def counters(self, families: Iterable[int]) -> Mapping[str, int]:
        """Dropped packets by the counter's name, of all families."""
        total = dict.fromkeys(COUNTERS.values(), 0)
        for family in families:
            printed = await read_rules(*self._variant.save(family, MANGLE), "-c")
            counted = parse_counters(printed)
            for name, packets in counted.items():
                total[name] += packets
        return total

    async def restore_sets(self, lines: Iterable[str]) -> None:
        """Change sets.

        Raises:
            CommandError: refused; the lines before the one that was are done.
        """
        text = "".join(f"{line}\n" for line in lines)
        if text:
            await run("ipset", "restore", text=text, timeout_s=COMMIT_TIMEOUT_S)

    async def restore_rules(self, family: int, text: str) -> None:
        """Change rules.

        Raises:
            CommandError: refused; each table is as it was, or whole.
        """
        await run(
            *self._variant.restore(family),
            text=text,
            timeout_s=COMMIT_TIMEOUT_S,
            started=self._started,
        )

    async def take_back(self, lines: Iterable[str]) -> None:
        """Undo what was done to sets, as far as it was done."""
        text = "".join(f"{line}\n" for line in lines)
        if text:
            try:
                await run("ipset", "-exist", "restore", text=text, timeout_s=COMMIT_TIMEOUT_S)
            except CommandError as error:
                log.warning("sets are not as they were", extra={"reason": str(error)})

    async def sweep(self, names: Iterable[str]) -> None:
        """Destroy sets that no rule looks up any more. nftables lets go of them a moment after its
        transaction; those that rules still hold then are left to the next replacement (while
        backends are switched, there are rules of both)."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SWEEP_LIMIT_S
        left = frozenset(names)
        while left:
            held = await self._held(left)
            try:
                await self.restore_sets(destruction(sorted(left - held)))
            except CommandError as error:
                log.warning("old sets are left over", extra={"reason": str(error)})
                return
            left &= held
            if left and loop.time() > end:
                log.info("old sets are still in use", extra={"sets": len(left)})
                return
            if left:
                await asyncio.sleep(SWEEP_PAUSE_S)

    async def printed(
        self, tables: Tables, families: Iterable[int]
    ) -> Mapping[tuple[int, str], Chains]:
        """How this iptables prints the rules of tables, by family and table: they are loaded into a
        network namespace made for it.

        Raises:
            CommandError: refused.
        """
        serial = count(1)

        def naming(key: SetKey) -> str:
            return set_name(key, next(serial))

        empty = {key: IpSet(type=each.type, family=key.family) for key, each in tables.sets.items()}
        structure = Tables(sets=empty, chains=tables.chains)
        found: dict[tuple[int, str], Chains] = {}
        for family in families:
            keys = [each for each in tables.chains if each[0] == family]
            if not keys:
                continue
            made = replacement(dict.fromkeys(keys, Found()), frozenset(), structure, naming)
            save = [" ".join(self._variant.save(family, MANGLE))]
            if (family, NAT) in keys:
                iptables = " ".join(self._variant.iptables(family))
                save.append(f"{iptables} -t {NAT} -S {POSTROUTING}")
            script = PRINTING.format(
                restore=" ".join(self._variant.restore(family)), save=" && ".join(save)
            )
            # The names of thousands of sets do not fit into one argument.
            command = ("unshare", "--net", "sh", "-c", script, "romana", *made.sets)
            output = await run(*command, text=made.rules[family])
            coded = parse_save(output, MANGLE).coded()
            for key in keys:
                mine = (POSTROUTING,) if key[1] == NAT else coded.keys() - {POSTROUTING}
                found[key] = {chain: coded[chain] for chain in mine}
        return found

    async def _held(self, names: frozenset[str]) -> frozenset[str]:
        """Those sets that rules look up."""
        asked = "".join(f"list {each} -terse\n" for each in sorted(names))
        return parse_held(await self._ask_ipset(asked))

    async def _ask_ipset(self, questions: str) -> str:
        """Have several questions answered by one process, about the sets that they name alone."""
        return (await run("ipset", "-", text=f"{questions}quit\n")).replace(PROMPT, "")

    async def _has(self, family: int, table: str, hook: str) -> bool:
        chain, _, rule = hook.partition(" ")
        words = ("-t", table, "-C", chain, *rule.split())
        try:
            await run(*self._variant.iptables(family), *words)
        except CommandError as error:
            if error.code is None:
                raise
            return False
        return True
