"""Commands of the documentation's pages, and which of them tests have executed.

What a reader is to type stands in a fenced block: ```sh, a command a line, or ```console, a
command behind each prompt and below it what it prints. Code within a sentence names a thing.
A module of tests that executes what a page (or one section of it) says:

    from documented import Page

    PAGE = Page("operations.md", section="Upgrade")
    pytestmark = PAGE.mark

    def type(line, *options):          # the options that it needs here
        ended = ...                    # run the line, as the page has it
        PAGE.ran(line, ended.returncode)

    def test_every_command_was_executed():          # the module's last
        assert PAGE.left() == []

The last one is for a run of the module alone. Whatever modules do, the last test of all
(`tests/cluster/test_documentation.py`) holds every page against what was executed in the whole run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^( *)```(sh|console)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(?P<where>[a-z0-9-]*)[$#] (?P<text>.+)$")
COMMENT = re.compile(r"(^|\s{2,})#(\s.*)?$")
HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")
CHANGES_PENDING = 2

_executed: defaultdict[str, set[str]] = defaultdict(set)
"""Commands that ended well in this session, by page."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page."""

    text: str
    where: str = ""
    """Who types it: the word before the prompt, `operator` in `operator$ ls`."""
    prints: tuple[str, ...] = ()
    """The lines that the page shows below it."""


class Page:
    """A page of docs/, or the section under one heading of it."""

    def __init__(self, name: str, section: str = "") -> None:
        self.name = name
        text = (DOCS / name).read_text()
        self.commands = commands_of(_section(text, section) if section else text)

    @property
    def mark(self) -> pytest.MarkDecorator:
        """The mark of tests that execute commands of this page."""
        return pytest.mark.documented(self.name)

    def ran(self, line: str, status: int) -> None:
        """Notes that a command was executed, and how it ended. One that failed does not count.

        Args:
            line: as the page has it, without what a test adds.
            status: its exit code; 2 from a `--check` means that changes are pending.
        """
        if status == 0 or (status == CHANGES_PENDING and "--check" in line):
            _executed[self.name].add(line)

    def left(self) -> list[str]:
        """The commands that nothing has executed so far."""
        return [each.text for each in self.commands if each.text not in _executed[self.name]]


def commands_of(text: str) -> tuple[Command, ...]:
    """The commands in a page's text, in their order."""
    found: list[Command] = []
    for indent, kind, block in FENCE.findall(text):
        lines = [line.removeprefix(indent) for line in block.splitlines()]
        found += _shell(lines) if kind == "sh" else _console(lines)
    return tuple(found)


def _section(text: str, heading: str) -> str:
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", re.sub(FENCE, _blank, rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def _blank(block: re.Match[str]) -> str:
    """As long as the block, without what would look like a heading in it."""
    return " " * len(block[0])


def _shell(lines: list[str]) -> list[Command]:
    found: list[Command] = []
    rest = iter(lines)
    for line in rest:
        text = COMMENT.sub("", line).rstrip()
        while text.endswith("\\"):
            text = f"{text[:-1].rstrip()} {COMMENT.sub('', next(rest)).strip()}"
        if here := HERE_DOCUMENT.search(text):
            body = [text]
            while body[-1].strip() != here[1]:
                body.append(next(rest))
            text = "\n".join(body)
        if text:
            found.append(Command(text))
    return found


def _console(lines: list[str]) -> list[Command]:
    found: list[Command] = []
    for line in lines:
        if typed := PROMPT.match(line):
            found.append(Command(typed["text"], typed["where"]))
        elif found:
            last = found.pop()
            found.append(Command(last.text, last.where, (*last.prints, line)))
    return found
