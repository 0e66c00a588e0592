"""What can be wrong with an object or with the place it comes from.

SourceError        root
  InvalidObject    one object cannot be read; `field` names where
"""

from __future__ import annotations

from romana.objects import Key, Namespace, NetworkPolicy, OperatorPolicy


class SourceError(Exception):
    """Root of the errors of sources; the message is one line for the operator."""


class InvalidObject(SourceError):
    """An object cannot be read.

    Args:
        kind: the object's kind.
        name: `namespace/name`, or the name alone.
        field: path of the field, dotted.
        reason: what is wrong with it.
        closed: of what isolates, what must be enforced in its place: it isolates what the object
            isolates and admits only the rules that could be read. None where that is not known.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        field: str,
        reason: str,
        closed: NetworkPolicy | Namespace | OperatorPolicy | None = None,
    ) -> None:
        where = f" {field}:" if field else ""
        super().__init__(f"{kind} {name}:{where} {reason}")
        self.kind = kind
        self.name = name
        self.field = field
        self.reason = reason
        self.closed = closed

    @property
    def uid(self) -> str:
        """The object's uid, where it is known."""
        return getattr(self.closed, "uid", "")

    @property
    def key(self) -> Key:
        """The object's key."""
        namespace, _, name = self.name.rpartition("/")
        return (namespace, name)
