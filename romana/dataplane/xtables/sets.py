"""Sets of ipset as values, and their text for `ipset restore`. Pure.

Only what ipset 6.20 and Linux 3.13 have: no prefix of length 0 in a set of networks, no element
that is the address 0, a range of ports is as many elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from romana.dataplane.programs import address_text

PREFIX = "ROMANA-"
"""Of every set, and of every chain: what else there is, is somebody else's."""
BITS = {4: 32, 6: 128}
FAMILY_NAMES = {4: "inet", 6: "inet6"}
MAX_ELEMENTS = 2**22
"""A limit, not a size: a set takes memory for what it holds."""
LEAST_HASH, MOST_HASH = 64, 2**20
LABEL, SERIAL = 7, 5
"""Lengths of parts of a name: the kernel takes 31 characters."""
COUNTED = re.compile(r"(.*) packets (\d+) bytes \d+")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class SetKey(NamedTuple):
    """Which set: of an address family, looked up by the rules of one owner (a program's chain),
    there known by a code."""

    family: int
    owner: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IpSet:
    """A set. `elements` are texts as `ipset save` prints them, but for `packets`, which is what
    each has counted, where the set is `counted`. Neither is compared: what ipset before 6.21.1
    prints of several sets, some of them counted, is not to be relied on in that
    (https://ipset.netfilter.org/changelog.html)."""

    type: str
    family: int
    elements: frozenset[str] = frozenset()
    counted: bool = field(default=False, compare=False)
    packets: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def header(self) -> str:
        """What cannot change while the set lives."""
        return f"{self.type} family {FAMILY_NAMES[self.family]}"


def creation(name: str, content: IpSet) -> Iterator[str]:
    """The lines that make a set of this name with its elements."""
    size = 1 << max(len(content.elements) // 2, 1).bit_length()
    hashsize = min(max(size, LEAST_HASH), MOST_HASH)
    counters = " counters" if content.counted else ""
    yield f"create {name} {content.header} hashsize {hashsize} maxelem {MAX_ELEMENTS}{counters}"
    yield from additions(name, content.elements)


def additions(name: str, elements: Iterable[str]) -> Iterator[str]:
    """The lines that add elements."""
    return (f"add {name} {each}" for each in elements)


def deletions(name: str, elements: Iterable[str]) -> Iterator[str]:
    """The lines that take elements away."""
    return (f"del {name} {each}" for each in elements)


def destruction(names: Iterable[str]) -> Iterator[str]:
    """The lines that remove sets."""
    return (f"destroy {name}" for name in names)


def set_name(key: SetKey, serial: int) -> str:
    """The name of a set in the kernel. The serial number makes it unique; the rest is for people,
    and the code for those who read it back."""
    label = key.owner.removeprefix(PREFIX).partition("-")[2] or key.owner.removeprefix(PREFIX)
    return f"{PREFIX}{label[:LABEL]}-{key.code}-{_base36(serial % 36**SERIAL)}"


def set_code(name: str) -> str:
    """The code in a set's name in the kernel."""
    return name.rpartition("-")[0].rpartition("-")[2]


def set_serial(name: str) -> int:
    """The serial number in a set's name in the kernel; -1 where there is none."""
    try:
        return int(name.rpartition("-")[2], 36)
    except ValueError:
        return -1


@lru_cache(maxsize=4096)
def networks(family: int, low: int, high: int) -> tuple[str, ...]:
    """The range `low`..`high` of addresses (both ends included) as the fewest networks that a set
    can hold, in ipset's text: a single address stands without its prefix length."""
    bits = BITS[family]
    found = []
    while low <= high:
        aligned = (low & -low).bit_length() - 1 if low else bits
        size = min(aligned, (high - low + 1).bit_length() - 1, bits - 1)
        if low or size:  # the address 0 is nobody's, and no set takes it
            text = address_text(family, low)
            found.append(f"{text}/{bits - size}" if size else text)
        low += 1 << size
    return tuple(found)


def parse_sets(output: str) -> dict[str, IpSet]:
    """Read the output of `ipset save`: our sets by their names in the kernel."""
    headers: dict[str, tuple[str, int]] = {}
    elements: dict[str, dict[str, int | None]] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) < 3 or not words[1].startswith(PREFIX):
            continue
        if words[0] == "create":
            family = 6 if "inet6" in words else 4
            headers[words[1]] = (words[2], family)
            elements[words[1]] = {}
        elif words[0] == "add":
            counted = COUNTED.fullmatch(" ".join(words[2:]))
            if counted:
                elements[words[1]][counted[1]] = int(counted[2])
            else:
                elements[words[1]][" ".join(words[2:])] = None
    return {
        name: IpSet(
            type=kind,
            family=family,
            elements=frozenset(elements[name]),
            packets={key: n for key, n in elements[name].items() if n is not None},
        )
        for name, (kind, family) in headers.items()
    }


def parse_held(output: str) -> frozenset[str]:
    """Read the output of `ipset list -terse`: the names of sets that rules look up."""
    held, name = set(), ""
    for line in output.splitlines():
        key, _, value = line.partition(": ")
        if key == "Name":
            name = value
        elif key == "References" and value != "0":
            held.add(name)
    return frozenset(held)


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text or "0"
