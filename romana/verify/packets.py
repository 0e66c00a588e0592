"""Packets of one class, and the ways that they take through a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from romana.verify.forms import Field

PATHS: Mapping[str, tuple[str, ...]] = {
    "forward": ("prerouting", "forward", "postrouting"),
    "input": ("prerouting", "input"),
    "output": ("output", "postrouting"),
}
"""The hooks that a packet passes, by what is done with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketClass:
    """Packets that differ in nothing but their peer and their traffic.

    Args:
        path: key of PATHS.
        family: 4 or 6.
        from_interface: name; empty where a packet has none.
        to_interface: name; empty where a packet has none.
        own: the field that is fixed: SOURCE or DESTINATION; the peer's address is the other.
        address: the value of that field.
        state: as conntrack numbers it.
        flags: of TCP.
    """

    path: str
    family: int
    from_interface: str = ""
    to_interface: str = ""
    own: Field
    address: int
    state: int
    flags: int

    @property
    def peer(self) -> Field:
        """The address that is not fixed."""
        return Field.DESTINATION if self.own is Field.SOURCE else Field.SOURCE

    def interface(self, field: Field) -> str:
        """The name of the interface that a field asks for."""
        return self.from_interface if field is Field.FROM_INTERFACE else self.to_interface
