"""What values may be: each kind reads an entry, or says in a few words why it cannot."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from pathlib import Path
from typing import TypeVar

from installer.errors import Problem
from installer.inventory.document import Entry

Kind = Callable[[Entry], object]
Value = TypeVar("Value")

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_TAINT = re.compile(rf"{_LABEL.pattern}(=[A-Za-z0-9_.-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")
_VERSION = re.compile(r"v1\.(\d+)\.\d+")
_SPAN = re.compile(r"([1-9]\d{0,4})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_PROGRAM_VERSION = re.compile(r"\d+\.\d+\.\d+([-+~][A-Za-z0-9.+~-]*)?")
_RELEASE = re.compile(r"\d+\.\d+\.\d+[A-Za-z0-9.+-]*")
OLDEST_MINOR = 20


class Unfit(Exception):  # noqa: N818
    """A value is not of its kind.

    Args:
        what: in a few words, without the value's place.
        advice: what to write instead.
        problems: what is wrong within the value, with places of their own, in place of `what`.
    """

    def __init__(self, what: str, advice: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(what)
        self.problems = problems
        self.what = what
        self.advice = advice


def text(entry: Entry) -> str:
    """Any text that is not empty."""
    if not isinstance(entry.value, str) or not entry.value:
        raise Unfit(f"should be text, is {shown(entry)}", _quotes(entry))
    return entry.value


def yes_or_no(entry: Entry) -> bool:
    """true or false."""
    if not isinstance(entry.value, bool):
        raise Unfit(f"should be true or false, is {shown(entry)}")
    return entry.value


def one_of(known: tuple[str, ...]) -> Callable[[Entry], str]:
    """One of these words."""

    def read(entry: Entry) -> str:
        value = text(entry)
        if value not in known:
            near = difflib.get_close_matches(value, known, 1)
            raise Unfit(
                f"should be one of {', '.join(known)}, is {shown(entry)}",
                f"did you mean {near[0]}?" if near else "",
            )
        return value

    return read


def whole(low: int, high: int) -> Callable[[Entry], int]:
    """A whole number from `low` to `high`."""

    def read(entry: Entry) -> int:
        value = entry.value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unfit(f"should be a number from {low} to {high}, is {shown(entry)}")
        return value

    return read


def span(*, never: bool) -> Callable[[Entry], int]:
    """A span of time, in seconds; where it may be `never`, that is 0."""

    def read(entry: Entry) -> int:
        written = entry.value
        match = _SPAN.fullmatch(written) if isinstance(written, str) else None
        if match is not None:
            return int(match[1]) * _SECONDS[match[2]]
        if never and written == "never":
            return 0
        advice = "write it as 30m, 6h or 7d" + (", or never" if never else "")
        raise Unfit(f"should be a span of time, is {shown(entry)}", advice)

    return read


def address(entry: Entry) -> IPv4Address:
    """An IPv4 address."""
    try:
        return IPv4Address(text(entry))
    except AddressValueError as error:
        raise Unfit(f"should be an IPv4 address, is {shown(entry)}") from error


def network(entry: Entry) -> IPv4Network:
    """An IPv4 network in CIDR form, without host bits."""
    written = text(entry)
    try:
        found = IPv4Network(written, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise Unfit(
            f"should be an IPv4 network, is {shown(entry)}", "write it as 10.112.0.0/12"
        ) from error
    if written.split("/")[0] != str(found.network_address):
        raise Unfit(f"{written} is an address within a network", f"write {found}")
    return found


def name(limit: int) -> Callable[[Entry], str]:
    """A DNS label of at most `limit` characters."""

    def read(entry: Entry) -> str:
        value = text(entry)
        if len(value) > limit or not _NAME.fullmatch(value):
            raise Unfit(
                f"should be a name, is {shown(entry)}",
                f"at most {limit} of a-z, 0-9 and -, no - at either end",
            )
        return value

    return read


def domain(entry: Entry) -> str:
    """A DNS name."""
    value = text(entry)
    if not all(_NAME.fullmatch(label) for label in value.split(".")):
        raise Unfit(f"should be a DNS name, is {shown(entry)}")
    return value


def version(entry: Entry) -> str:
    """A Kubernetes version, or auto."""
    value = text(entry)
    match = _VERSION.fullmatch(value)
    if value != "auto" and match is None:
        raise Unfit(f"should be a version or auto, is {shown(entry)}", "write it as v1.34.1")
    if match is not None and int(match[1]) < OLDEST_MINOR:
        raise Unfit(
            f"{value} is too old", f"v1.{OLDEST_MINOR}.0 is the oldest that can be installed"
        )
    return value


def program_version(entry: Entry) -> str:
    """A version of a program, with a package's revision or without, or auto."""
    value = text(entry)
    if value != "auto" and not _PROGRAM_VERSION.fullmatch(value):
        raise Unfit(f"should be a version or auto, is {shown(entry)}", "write it as 1.6.20")
    return value


def release(entry: Entry) -> str:
    """A release of Romana, whole or by its version alone, or auto."""
    value = text(entry)
    if value != "auto" and not _RELEASE.fullmatch(value):
        raise Unfit(f"should be a release or auto, is {shown(entry)}", "write it as 1.0.0")
    return value


def url(entry: Entry) -> str:
    """An http or https URL, without the slash at its end."""
    value = text(entry)
    if not re.fullmatch(r"https?://[^/\s]+\S*", value):
        raise Unfit(f"should be a URL, is {shown(entry)}", "begin it with https://")
    return value.rstrip("/")


def endpoint(entry: Entry) -> str:
    """Where a service is, as an https URL without a path; the port is needed only where it is not
    443."""
    value = url(entry)
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?", value):
        raise Unfit(
            f"should be https:// and a name or an address, is {shown(entry)}",
            "write it as https://api.example.org:6443",
        )
    return value


def file_below(directory: Path) -> Callable[[Entry], Path]:
    """A file that exists; relative paths start at the inventory's directory."""

    def read(entry: Entry) -> Path:
        path = directory / Path(text(entry)).expanduser()
        if not path.is_file():
            raise Unfit(f"no such file: {path}")
        return path

    return read


def labels(entry: Entry) -> tuple[tuple[str, str], ...]:
    """Kubernetes labels."""
    if not isinstance(entry.value, Mapping):
        raise Unfit(f"should be a mapping of label to value, is {shown(entry)}")
    for key, item in entry.value.items():
        if not _LABEL.fullmatch(key):
            raise Unfit(f"{key!r} is not a label's key")
        if not isinstance(item.value, str) or (item.value and not _LABEL.fullmatch(item.value)):
            raise Unfit(f"{key} should be a label's value, is {shown(item)}", _quotes(item))
    return tuple(sorted((key, str(item.value)) for key, item in entry.value.items()))


def taints(entry: Entry) -> tuple[str, ...]:
    """Kubernetes taints."""
    for item in listed(entry):
        if not isinstance(item.value, str) or not _TAINT.fullmatch(item.value):
            raise Unfit(f"{shown(item)} is not a taint", "write it as key=value:NoSchedule")
    return tuple(str(item.value) for item in listed(entry))


def listed(entry: Entry) -> tuple[Entry, ...]:
    """The items of a list."""
    if not isinstance(entry.value, tuple):
        raise Unfit(f"should be a list, is {shown(entry)}")
    return entry.value


def shown(entry: Entry) -> str:
    """A value as it is quoted in messages."""
    if isinstance(entry.value, Mapping):
        return "a mapping"
    if isinstance(entry.value, tuple):
        return "a list"
    if entry.value is None:
        return "empty"
    return str(entry.value).lower() if isinstance(entry.value, bool) else repr(entry.value)


def _quotes(entry: Entry) -> str:
    return "write it in quotes" if isinstance(entry.value, bool | int | float) else ""
