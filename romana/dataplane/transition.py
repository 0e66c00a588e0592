"""The tables on the way from one to another, each committed by itself, so that no packet is judged
by half of a change. Pure.

A transaction of nftables is one step for those who read the table, not for a packet. This one
takes, in this order (nft_do_chain, nft_lookup_eval, nf_tables_commit, nft_set_pipapo of Linux):
- the generation of all rules that it will meet when it enters a base chain; of a chain that was
  made since, it finds no rule, and passes;
- the generation of elements at each lookup anew: a map may send it to a chain that is newer than
  the rules it reads, and of two sets it may read the first before a change and the second after;
- what lies in interval sets later still: a set is exchanged after the generation has changed, one
  after another, and before Linux 6.17 what leaves it is gone before what comes is there.
So in one transaction
- base chains come alone, behind all that they lead to;
- nothing is sent to a chain that it makes or changes: chains change before endpoints join them,
  and after endpoints have left them;
- no traffic goes from one set of a program to another: what is admitted anew is there before what
  is admitted no more is taken away. New elements of an interval set, which must not overlap old
  ones, lie in a set of their own meanwhile.
What a transaction changes else may be met in any order: each packet meets one lookup of it that
matters. Objects that are deleted stay as they were for the packets that are among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from romana.dataplane.programs import is_program, program_of
from romana.dataplane.ruleset import Chain, Ruleset, Set

NEXT = "-next"
"""What the name of a set ends with that holds another one's new elements for a while."""


def transition(old: Ruleset, new: Ruleset) -> Iterator[Ruleset]:
    """The tables to commit one after another; the last is `new`. None where they are equal.

    Args:
        old: what the kernel holds.
        new: what it is to hold; no set that both hold has another type there, no chain another
            hook.
    """
    if old == new:
        return
    way = _Way(old, new)
    while not way.step():
        yield way.table()
    yield new


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What a program is at one moment: those of its sets that change, and its rules."""

    sets: Mapping[str, Set]
    chain: Chain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """What changes for one key of a verdict map: its element, and the chains that it leads to; and
    what changes for it thereafter."""

    map: str
    before: str = ""
    after: str = ""
    then: _Move | None = None

    @property
    def left(self) -> str:
        """The chain that it leads to no more."""
        return self.before.partition(" : goto ")[2]

    @property
    def joined(self) -> str:
        """The chain that it leads to from now on."""
        return self.after.partition(" : goto ")[2]


@dataclass(slots=True)
class _Change:
    """What changes in one program: its forms to come, and the sets that any of them holds."""

    forms: list[_Form]
    names: frozenset[str]


@dataclass(slots=True)
class _Way:
    """What has been done of a change, and what is left."""

    old: Ruleset
    new: Ruleset
    sets: dict[str, Set] = field(init=False)
    chains: dict[str, Chain] = field(init=False)
    changes: dict[str, _Change] = field(init=False)
    moves: list[_Move] = field(init=False)
    hooks: bool = field(init=False)

    def __post_init__(self) -> None:
        self.sets, self.chains = dict(self.old.sets), dict(self.old.chains)
        changed: dict[str, set[str]] = {}
        self.moves, others = [], []
        for name in _changed(self.old.sets, self.new.sets):
            program = program_of(name)
            if program:
                changed.setdefault(program, set()).add(name)
            elif name in self.old.sets and name in self.new.sets and self.new.sets[name].verdicts:
                self.moves += _moves(name, self.old.sets[name], self.new.sets[name])
            elif name in self.new.sets:
                others.append(name)
        for name in _changed(self.old.chains, self.new.chains):
            if is_program(name):
                changed.setdefault(name, set())
        self.changes = {
            name: _Change(list(forms), frozenset(each for form in forms for each in form.sets))
            for name, sets in changed.items()
            if (forms := tuple(_forms(name, sets, self.old, self.new)))
        }
        # What is neither a program's nor the dispatch's comes with the first step, and goes with
        # the last.
        self.sets.update((name, self.new.sets[name]) for name in others)
        made = {name: each for name, each in self.new.chains.items() if name not in self.old.chains}
        self.hooks = any(each.hook for each in made.values())
        if self.hooks:
            self.chains.update((name, each) for name, each in made.items() if not each.hook)

    def step(self) -> bool:
        """Do what can be done at once; whether that is all."""
        left = {each.left for each in self.moves}
        ready = [name for name in self.changes if name not in left]
        moving = [each for each in self.moves if each.joined not in self.changes]
        if not ready and not moving and self.moves:
            self._make_room(self.moves[0].joined)
            return self.step()
        for name in ready:
            self._reform(name)
        self._move(moving)
        done = {id(each) for each in moving}
        self.moves = [each for each in self.moves if id(each) not in done]
        self.moves += [each.then for each in moving if each.then]
        hooks, self.hooks = self.hooks, False
        return not self.changes and not self.moves and not hooks

    def table(self) -> Ruleset:
        """The table as far as it has come."""
        counters = self.old.counters | self.new.counters
        return Ruleset(sets=dict(self.sets), chains=dict(self.chains), counters=counters)

    def _make_room(self, program: str) -> None:
        """Have the endpoints that join a program wait in another one like it, where programs wait
        for each other: endpoints take each other's place in them, while they change."""
        room = program + NEXT
        sets = {
            room + name.removeprefix(program): each
            for name, each in self.new.sets.items()
            if program_of(name) == program
        }
        rules = self.new.chains[program].rules
        chain = Chain(rules=tuple(each.replace(f"@{program}-", f"@{room}-") for each in rules))
        self.changes[room] = _Change([_Form(sets=sets, chain=chain)], frozenset(sets))
        for at, each in enumerate(self.moves):
            if each.joined == program:
                waiting = each.after.replace(f"goto {program}", f"goto {room}")
                last = replace(each, before=waiting)
                self.moves[at] = replace(each, after=waiting, then=last)

    def _reform(self, name: str) -> None:
        """Give a program its next form."""
        change = self.changes[name]
        form = change.forms.pop(0)
        for each in change.names:
            self.sets.pop(each, None)
        self.sets.update(form.sets)
        self.chains[name] = form.chain
        if not change.forms:
            del self.changes[name]

    def _move(self, moves: list[_Move]) -> None:
        for name in {each.map for each in moves}:
            gone = {each.before for each in moves if each.map == name}
            come = {each.after for each in moves if each.map == name}
            elements = (self.sets[name].elements - gone) | (come - {""})
            self.sets[name] = replace(self.sets[name], elements=elements)


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name, each in new.items():
        before = old.get(name)
        if before is not each and before != each:
            yield name
    yield from (name for name in old if name not in new)


def _moves(name: str, old: Set, new: Set) -> Iterator[_Move]:
    gone = {each.partition(" : ")[0]: each for each in old.elements - new.elements}
    come = {each.partition(" : ")[0]: each for each in new.elements - old.elements}
    for key in gone.keys() | come.keys():
        yield _Move(map=name, before=gone.get(key, ""), after=come.get(key, ""))


def _forms(name: str, changed: set[str], old: Ruleset, new: Ruleset) -> Iterator[_Form]:
    """What a program becomes, one after another; nothing where it goes: that is the last step."""
    if name not in new.chains:
        return
    after = {each: new.sets[each] for each in changed if each in new.sets}
    final = _Form(sets=after, chain=new.chains[name])
    before = {each: old.sets[each] for each in changed if each in old.sets}
    if name in old.chains and _exchanges(before, after):
        yield from _grown(_Form(sets=before, chain=old.chains[name]), final)
    yield final


def _exchanges(before: Mapping[str, Set], after: Mapping[str, Set]) -> bool:
    """Whether a program may come to admit by one element what it admits by another. Elements for
    one host each, and not for the same one, cannot."""
    gone, come = _peers(before, after), _peers(after, before)
    if not gone or not come:
        return False
    return not gone.isdisjoint(come) or any("-" in each for each in gone | come)


def _peers(these: Mapping[str, Set], those: Mapping[str, Set]) -> set[str]:
    """The peers of elements that the ones hold and the others do not."""
    nothing: frozenset[str] = frozenset()
    return {
        element.partition(" . ")[0]
        for name, each in these.items()
        for element in each.elements - (those[name].elements if name in those else nothing)
    }


def _grown(old: _Form, new: _Form) -> Iterator[_Form]:
    """A program that admits what the old one and the new one admit; and once more, where interval
    sets hold new elements that may overlap old ones."""
    sets = dict(old.sets)
    rules = dict.fromkeys((*new.chain.rules[:-1], *old.chain.rules[:-1]))
    exchanged: dict[str, Set] = {}
    for name, each in new.sets.items():
        before = sets.get(name)
        if before is None:
            sets[name] = each
        elif each.interval and not before.elements <= each.elements:
            come = each.elements - before.elements
            if come:
                exchanged[name] = each
                sets[name + NEXT] = replace(each, elements=come)
                looked_up = [rule for rule in new.chain.rules if f"@{name} " in rule]
                rules |= dict.fromkeys(
                    rule.replace(f"@{name} ", f"@{name}{NEXT} ") for rule in looked_up
                )
        else:
            sets[name] = replace(each, elements=before.elements | each.elements)
    chain = replace(new.chain, rules=(*rules, new.chain.rules[-1]))
    yield _Form(sets=sets, chain=chain)
    if exchanged:
        yield _Form(sets={**sets, **exchanged}, chain=chain)
