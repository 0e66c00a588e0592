"""The commands of iptables and ipset that this backend needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import count

from romana.dataplane.commands import run, run_until
from romana.dataplane.errors import CommandError
from romana.dataplane.xtables.change import Found, replacement
from romana.dataplane.xtables.listing import TableListing, parse_counters, parse_save
from romana.dataplane.xtables.programs import Chains
from romana.dataplane.xtables.reading import read_rules
from romana.dataplane.xtables.sets import PREFIX, IpSet, SetKey, parse_sets, set_name
from romana.dataplane.xtables.setwriter import ask_ipset
from romana.dataplane.xtables.tables import COUNTERS, HOOKS, MANGLE, NAT, POSTROUTING, Tables
from romana.dataplane.xtables.variant import Variant

COMMIT_TIMEOUT_S = 60.0
DONE = "# all of it is done"
ABSENT = (1, 3)
"""Exit codes of iptables where a chain is not there, or the kernel has no such table."""
PRINTING = 'printf "%s\\n" "$@" | ipset restore && {restore} && {save}'


class Tools:
    """Runs iptables and ipset.

    Args:
        variant: the iptables to use.
        started: called with the process id of each that writes.
    """

    def __init__(self, variant: Variant, started: Callable[[int], None]) -> None:
        self._variant = variant
        self._started = started
        self._endings: set[asyncio.Future[bool]] = set()

    async def table(self, family: int, table: str) -> TableListing:
        """What a table holds of ours. Of `nat`, where others have thousands of rules, only our
        chain is asked for.

        Raises:
            CommandError: it cannot be read.
        """
        if table == MANGLE:
            command = (*self._variant.save(family, table), "-c")
            return parse_save(await read_rules(*command), table)
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
        return await asyncio.to_thread(parse_sets, await ask_ipset(wanted))

    async def counters(self, families: Iterable[int]) -> Mapping[str, int]:
        """Dropped packets by the counter's name, of all families."""
        total = dict.fromkeys(COUNTERS.values(), 0)
        for family in families:
            printed = await read_rules(*self._variant.save(family, MANGLE), "-c")
            counted = parse_counters(printed)
            for name, packets in counted.items():
                total[name] += packets
        return total

    async def restore_rules(self, texts: Mapping[int, str]) -> tuple[CommandError | None, ...]:
        """Change the rules of some families. Those of nftables are changed side by side: whoever
        comes second would else wait until the kernel has done away with what the first deleted.
        The others lock each other out.

        Returns:
            For each that was tried, the refusal, if it was refused: each table is then as it was,
            or whole. What comes after a refusal is not tried, unless it was under way.
        """
        if self._variant.nftables:
            works = [self._restore(family, text) for family, text in texts.items()]
            return tuple(await asyncio.gather(*works))
        tried: list[CommandError | None] = []
        for family, text in texts.items():
            tried.append(await self._restore(family, text))
            if tried[-1]:
                break
        return tuple(tried)

    async def _restore(self, family: int, text: str) -> CommandError | None:
        command = self._variant.restore(family)
        started, timeout_s = self._started, COMMIT_TIMEOUT_S
        try:
            if self._variant.nftables:
                # It ends only when the kernel has done away with what was deleted, which takes
                # longer than all the rest. With `-v` it repeats a comment, when it has done what
                # comes before it.
                command, text = (*command, "-v"), f"{text}{DONE}\n"
                ending = await run_until(
                    DONE, *command, text=text, timeout_s=timeout_s, started=started
                )
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)
            else:
                await run(*command, text=text, timeout_s=timeout_s, started=started)
        except CommandError as error:
            return error
        return None

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
