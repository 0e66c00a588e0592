"""Reading a document that people write: everything that is wrong is told at once, each with its
path."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Fault(NamedTuple):
    """Something that is wrong.

    Args:
        field: where, as a path in the document.
        reason: what.
    """

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class Reading:
    """Collects what is wrong with a document while it is read."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def refuse(self, field: str, reason: str) -> None:
        """Take notice of a fault."""
        self.faults.append(Fault(field, reason))

    def mapping(
        self, field: str, value: object, known: Collection[str], refused: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """A mapping, whose keys are checked.

        Args:
            field: its path.
            value: what is there.
            known: the keys it may have.
            refused: keys that people may well write, but that cannot be honoured, and why.
        """
        if not isinstance(value, dict):
            self.refuse(field, f"must be a mapping, is {_said(value)}")
            return None
        for key in value:
            if key in refused:
                if value[key] is not None:
                    self.refuse(f"{field}.{key}", refused[key])
            elif key not in known:
                near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.7)
                hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
                self.refuse(f"{field}.{key}", f"is not a known key; {hint}")
        return value

    def items(self, field: str, value: object, absent: str) -> list[Any]:
        """A list that must hold something.

        Args:
            field: its path.
            value: what is there.
            absent: what to say where it is missing or empty.
        """
        if value is not None and not isinstance(value, list):
            self.refuse(field, f"must be a list, is {_said(value)}")
            return []
        if not value:
            self.refuse(field, absent)
            return []
        return value

    def text(self, field: str, value: object) -> str:
        """A text that is not empty; empty where it is none."""
        if isinstance(value, str) and value:
            return value
        self.refuse(field, f"must be a name, is {_said(value)}")
        return ""

    def converted(self, field: str, value: object, into: type[_Struct]) -> _Struct | None:
        """A part whose shape is a struct."""
        try:
            return msgspec.convert(value, into)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at ")
            self.refuse(field + where.strip("`").removeprefix("$"), reason)
            return None


def _said(value: object) -> str:
    """A value as far as that helps to find it."""
    if value is None:
        return "missing"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    return f"`{str(value)[:40]}`"
