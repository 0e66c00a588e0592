"""The difference of two tables as netlink messages, where it is in programs and elements alone: as
it is whenever pods and policies change. Pure. The order is that of `ruleset.difference`, for the
same reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from romana.dataplane.elements import encodable, messages_of
from romana.dataplane.expressions import (
    APPEND,
    CREATE,
    DELETE_CHAIN,
    DELETE_RULE,
    DELETE_SET,
    NEW_CHAIN,
    NEW_RULE,
    NEW_SET,
    chain_body,
    flush_body,
    makeable,
    rule_body,
    set_body,
    set_reference,
    writable,
)
from romana.dataplane.ruleset import Chain, Edit, Ruleset, edits

MOST_ELEMENTS = 20_000
"""Elements that are changed without nft: more are a matter of seconds either way."""

Order = tuple[int, int, bytes]
"""Type, flags and body of a message."""


def orders(old: Ruleset, new: Ruleset) -> list[Order] | None:
    """The messages that make `new` of `old`, to be carried out at once; none where they are equal.
    None where it takes nft to write the difference."""
    if old.counters != new.counters:
        return None
    changed = edits(old, new)
    if changed is None or not all(encodable(each.kind) for each in changed):
        return None
    if not all(makeable(each) for name, each in new.sets.items() if name not in old.sets):
        return None
    if sum(len(each.deleted) + len(each.added) for each in changed) > MOST_ELEMENTS:
        return None
    filled = [name for name, each in new.chains.items() if _differ(old.chains.get(name), each)]
    gone = [name for name in old.chains if name not in new.chains]
    if not all(_plain(old.chains, name) for name in (*filled, *gone)):
        return None
    if not all(_plain(new.chains, name) for name in filled):
        return None
    return list(_orders(old, new, changed, filled, gone))


def _differ(old: Chain | None, new: Chain) -> bool:
    return old is not new and old != new


def _plain(chains: Mapping[str, Chain], name: str) -> bool:
    """Whether a chain, if it is there, is a program's."""
    chain = chains.get(name)
    return chain is None or (not chain.hook and all(map(writable, chain.rules)))


def _orders(
    old: Ruleset,
    new: Ruleset,
    changed: Iterable[Edit],
    filled: Iterable[str],
    gone: Iterable[str],
) -> Iterator[Order]:
    made = (name for name in new.sets if name not in old.sets)
    yield from ((NEW_CHAIN, CREATE, chain_body(name)) for name in filled if name not in old.chains)
    for number, name in enumerate(made, 1):
        yield NEW_SET, CREATE, set_body(name, new.sets[name], number)
    yield from messages_of(changed)
    for name in filled:
        if name in old.chains:
            yield DELETE_RULE, 0, flush_body(name)
        for rule in new.chains[name].rules:
            yield NEW_RULE, CREATE | APPEND, rule_body(name, rule)
    yield from ((DELETE_RULE, 0, flush_body(name)) for name in gone)
    yield from ((DELETE_SET, 0, set_reference(name)) for name in old.sets if name not in new.sets)
    yield from ((DELETE_CHAIN, 0, chain_body(name)) for name in gone)
