"""Numbers of policies and sizes of responses, as they are written on the command line. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TypeVar

from romana.bench.errors import BenchError
from romana.bench.workload import MOST_POLICIES

T = TypeVar("T", int, str)

LARGEST_BYTES = 16 * 2**20
_SIZE = re.compile(r"(\d{1,9}|\d{0,9}\.\d{1,6})(k|m|)", re.IGNORECASE)
_UNITS = {"": 1, "k": 2**10, "m": 2**20}


def policy_counts(text: str) -> tuple[int, ...]:
    """Numbers of policies, in order, such as `0,10,50`.

    Raises:
        BenchError: one of them makes no sense.
    """
    return tuple(sorted(_each(text, "--policies", _count)))


def sizes(text: str) -> tuple[int, ...]:
    """Sizes in bytes, in order, such as `0.5k,1k,1M`: k is 1,024 bytes, M is 1,024 k.

    Raises:
        BenchError: one of them makes no sense.
    """
    return tuple(sorted(_each(text, "--sizes", _size)))


def size_text(size: int) -> str:
    """A size as it is written: `.5k`, `100k`, `1M`."""
    for unit in ("m", "k"):
        if size >= _UNITS[unit] // 2 and size * 10 % _UNITS[unit] == 0:
            number = f"{size / _UNITS[unit]:g}"
            return number.removeprefix("0") + {"m": "M"}.get(unit, unit)
    return str(size)


def names(text: str, known: Iterable[str], option: str) -> tuple[str, ...]:
    """Names out of those that are known, in the order they are written.

    Raises:
        BenchError: one of them is not known.
    """
    allowed = tuple(known)

    def name(word: str) -> str:
        if word not in allowed:
            raise BenchError(f"{option} {word}: choose from {', '.join(allowed)}")
        return word

    return tuple(_each(text, option, name))


def _each(text: str, option: str, read: Callable[[str], T]) -> list[T]:
    found = [read(word.strip()) for word in text.split(",")]
    if len(set(found)) < len(found):
        raise BenchError(f"{option} {text}: the same is there twice")
    return found


def _count(word: str) -> int:
    if not word.isascii() or not word.isdigit():
        raise BenchError(f"--policies {word or '(nothing)'}: write whole numbers, as 0,10,200")
    if int(word) > MOST_POLICIES:
        most = f"{MOST_POLICIES:,}"
        raise BenchError(f"--policies {word}: at most {most}, so that each has a port of its own")
    return int(word)


def _size(word: str) -> int:
    match = _SIZE.fullmatch(word)
    if match is None:
        raise BenchError(f"--sizes {word or '(nothing)'}: write sizes as 0.5k,100k,1M")
    size = Decimal(match[1]) * _UNITS[match[2].lower()]
    if size != int(size) or not 1 <= size <= LARGEST_BYTES:
        raise BenchError(f"--sizes {word}: must be whole bytes, from 1 to 16M")
    return int(size)
