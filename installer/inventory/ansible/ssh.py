"""The words that Ansible hands to ssh (`ansible_ssh_common_args`): the way in, and what is of no
account here."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

_TARGET = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>[^@:]+)(?::(?P<port>\d+))?")
_WITH_VALUE = "bcDEeFIiJLlmOopQRSWw"
"""Options of ssh(1) that take a value."""
_CHECKED = ("stricthostkeychecking", "userknownhostsfile", "globalknownhostsfile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A host that the way leads through."""

    host: str
    user: str = ""
    port: int | None = None
    key: str = ""


@dataclass(slots=True)
class Read:
    """What the words say: a way in, or why it cannot be told; and what is ignored."""

    jump: Jump | None = None
    problem: str = ""
    ignored: list[str] = field(default_factory=list)


def read(text: str) -> Read:
    """Reads ssh's words."""
    found = Read()
    try:
        words = shlex.split(text)
    except ValueError as error:
        found.problem = f"cannot be read: {error}"
        return found
    options, rest = _options(words)
    found.ignored += rest
    for option, value in options:
        if option == "J":
            _jump(found, value)
        elif option == "o":
            _setting(found, value)
        else:
            found.ignored.append(f"-{option} {value}".strip())
    return found


def _setting(found: Read, text: str) -> None:
    name, _, value = (
        part.strip() for part in re.sub(r"\s*[= ]\s*", "=", text, count=1).partition("=")
    )
    if name.lower() == "proxyjump":
        _jump(found, value)
    elif name.lower() == "proxycommand":
        _command(found, value)
    elif name.lower() in _CHECKED:
        found.ignored.append(f"{name} (host keys are always checked)")
    else:
        found.ignored.append(name)


def _jump(found: Read, text: str) -> None:
    match = _TARGET.fullmatch(text)
    if "," in text or match is None:
        found.problem = f"{text} is not one host to go through"
        return
    port = match["port"]
    found.jump = Jump(
        host=match["host"], user=match["user"] or "", port=int(port) if port else None
    )


def _command(found: Read, text: str) -> None:
    """A ProxyCommand that is an ssh -W is a jump by another name."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    options, rest = _options(words[1:])
    given = dict(options)
    if not words or words[0].rpartition("/")[2] != "ssh" or "W" not in given or len(rest) != 1:
        found.problem = "its ProxyCommand is not an ssh -W %h:%p to one host"
        return
    match = _TARGET.fullmatch(rest[0])
    if match is None:
        found.problem = f"{rest[0]} is not a host to go through"
        return
    port = given.get("p") or match["port"]
    found.jump = Jump(
        host=match["host"],
        user=given.get("l") or match["user"] or "",
        port=int(port) if port and port.isdigit() else None,
        key=given.get("i", ""),
    )


def _options(words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options with their values, and the words that are none, as getopt(3) sees them."""
    found, rest = [], []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _WITH_VALUE:
                found.append((letter, letters or (waiting.pop(0) if waiting else "")))
                break
            found.append((letter, ""))
    return found, rest
