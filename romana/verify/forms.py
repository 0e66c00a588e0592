"""A table as rules that can be interpreted, whatever wrote them down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from romana.policy.intervals import Intervals


class UnknownForm(Exception):
    """Something in our table that cannot be interpreted: nothing is proven then.

    Args:
        what: it, and where.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Field(str, Enum):
    """What a rule can ask of a packet."""

    FROM_INTERFACE = "iifname"
    TO_INTERFACE = "oifname"
    FAMILY = "nfproto"
    SOURCE = "saddr"
    DESTINATION = "daddr"
    PROTOCOL = "l4proto"
    PORT = "dport"
    STATE = "ct state"
    FLAGS = "tcp flags"


INTERFACES = (Field.FROM_INTERFACE, Field.TO_INTERFACE)
ADDRESSES = (Field.SOURCE, Field.DESTINATION)


class Decision(str, Enum):
    """What a rule does with what it matches."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    MASQUERADE = "masquerade"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and the chain of a jump or goto."""

    decision: Decision
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameMatch:
    """An interface's name, whole or (`wildcard`) its beginning."""

    field: Field
    name: str
    wildcard: bool = False
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberMatch:
    """A field's number is one of `values`.

    Args:
        field: of the packet.
        values: the numbers; of PORT, traffic with its protocol (see `policy/space.py`).
        family: 4 or 6 where only packets of that family can match; 0 for both.
        mask: what of the number counts.
        negated: it is none of them. (A packet of another family or protocol still does not match.)
        scope: the traffic that has the field at all.
    """

    field: Field
    values: Intervals
    family: int = 0
    mask: int = 0
    negated: bool = False
    scope: Intervals = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The fields, together, are an element of a set."""

    fields: tuple[Field, ...]
    name: str
    family: int = 0
    negated: bool = False


Match = NameMatch | NumberMatch | Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What matches all of `matches` meets the verdict; or, with `lookup`, that of a map's element
    (and goes on where there is none). `packets` is what the rule has counted, if it counts."""

    matches: tuple[Match, ...] = ()
    verdict: Verdict | None = None
    lookup: Lookup | None = None
    packets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Rules, and for a base chain where it is hooked in.

    Args:
        rules: in order, those that decide.
        counting: those that only count, by elements of their own; nothing is decided by them.
        hook: `forward`, `input`, ...; empty where packets come by a jump only.
        priority: of its hook; smaller is earlier.
        drops: whether what comes to its end is dropped.
    """

    rules: tuple[Rule, ...] = ()
    counting: tuple[Rule, ...] = ()
    hook: str = ""
    priority: int = 0
    drops: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element: a name or an interval for each field of its set, a map's verdict, and what it
    has counted, if it counts."""

    values: tuple[str | tuple[int, int], ...]
    verdict: Verdict | None = None
    packets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The whole table. `elements` are those of sets and maps, by name."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    elements: Mapping[str, tuple[Element, ...]] = field(default_factory=dict)
