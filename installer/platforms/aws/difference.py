"""What differs between the wanted and the found, as changes with their calls. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from installer.errors import PlatformError
from installer.platforms.aws.calls import Call
from installer.platforms.aws.kinds import BY_NAME, Scope
from installer.platforms.aws.records import Found, Record, Ref, Seen, Value

Verb = Literal["create", "change", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field that changes: in words, for people."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that is not as it should be, and the calls that make it so."""

    verb: Verb
    ref: Ref
    fields: tuple[Field, ...]
    calls: tuple[Call, ...]
    foreign: bool = False
    """Whether it is in something that is not ours."""


def difference(wanted: Sequence[Record], seen: Seen, scope: Scope) -> tuple[Change, ...]:
    """The changes, in an order in which everything that a change refers to is there before.

    Args:
        wanted: all records, each after those that it refers to.
        seen: what was found.
        scope: whose.

    Raises:
        PlatformError: an object differs in what cannot be changed; names all of them.
    """
    ids, changes, fixed = seen.ids, [], []
    for record in wanted:
        kind, found = BY_NAME[record.ref.kind], seen.objects.get(record.ref)
        if found is None:
            made = tuple(
                Field(name=name, before="", after=shown(value, seen))
                for name, value in record.fields.items()
            )
            calls = kind.create(record, scope)
            changes.append(Change(verb="create", ref=record.ref, fields=made, calls=calls))
            continue
        fields = tuple(_differing(record, found, seen, ids))
        stuck = [field for field in fields if not found.owned or field.name in kind.fixed]
        fixed += [_stuck(record.ref, found, field, kind.fixed) for field in stuck]
        calls = tuple(
            call
            for field in fields
            if field not in stuck
            for call in kind.change[field.name](record, found)
        )
        if calls:
            changes.append(Change(verb="change", ref=record.ref, fields=fields, calls=calls))
    if fixed:
        raise PlatformError(f"aws: {'; '.join(fixed)}", "nothing was changed")
    return tuple(changes)


def removal(found: Iterable[Found], seen: Seen) -> tuple[Change, ...]:
    """Changes that take objects away."""
    return tuple(
        Change(
            verb="delete",
            ref=each.ref,
            fields=tuple(
                Field(name=name, before=shown(value, seen), after="")
                for name, value in each.fields.items()
            ),
            calls=BY_NAME[each.ref.kind].delete(each),
            foreign=not each.owned,
        )
        for each in found
    )


def _differing(record: Record, found: Found, seen: Seen, ids: Mapping[Ref, str]) -> Iterator[Field]:
    for name, value in record.fields.items():
        if _resolved(value, ids) != found.fields[name]:
            yield Field(name=name, before=shown(found.fields[name], seen), after=shown(value, seen))


def _resolved(value: Value, ids: Mapping[Ref, str]) -> str | tuple[str, ...] | None:
    """The value with ids for references; None for one that is not there."""
    if isinstance(value, tuple):
        return tuple(sorted(ids.get(each, "") if isinstance(each, Ref) else each for each in value))
    return ids.get(value) if isinstance(value, Ref) else value


def shown(value: Value, seen: Seen) -> str:
    """A value in words: what an id stands for, where it is known."""
    if isinstance(value, tuple):
        return ", ".join(shown(each, seen) for each in value) or "none"
    if isinstance(value, Ref):
        return str(value)
    named = {id_: str(ref) for ref, id_ in seen.ids.items() if ref.kind != "route"}
    return named.get(value, value) or "none"


def _stuck(ref: Ref, found: Found, field: Field, fixed: Mapping[str, str]) -> str:
    what = f"{ref} ({found.id}) has {field.name} {field.before}, not {field.after}"
    advice = fixed.get(field.name, "") if found.owned else "it is not ours; correct the inventory"
    return f"{what}: {advice}" if advice else what
