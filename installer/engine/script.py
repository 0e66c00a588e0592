"""Joins the sh texts of many resources into one script, and takes its output apart again. Pure.

Each text runs in a subshell of its own under `-eu`, without standard input. A line with a marker
that the texts cannot know tells where each begins and how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from installer.engine.ahead import read_ahead
from installer.resources.base import Change, Payload, Resource
from installer.resources.records import LOCK

LOCK_WAIT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one resource's text printed, and its exit status; None where it did not end. `errors`
    is what a probe printed on standard error."""

    text: str
    status: int | None
    errors: str = ""


def probes(resources: Sequence[Resource], marker: str) -> str:
    """One script that probes all of them, whatever becomes of each.

    Args:
        resources: in the order of their numbers in the output.
        marker: a word that occurs in no output.
    """
    return read_ahead(resources) + questions([item.probe() for item in resources], marker)


def questions(texts: Sequence[str], marker: str) -> str:
    """One script that runs all texts, whatever becomes of each, with what each prints on standard
    output and standard error told apart.

    Args:
        texts: in the order of their numbers in the output.
        marker: a word that occurs in no output.
    """
    parts = (_section(index, text, "both") for index, text in enumerate(texts))
    both = (
        f"both() {{ printf '\\n%s\\n' \"{marker} $*\"; printf '\\n%s\\n' \"{marker} $*\" >&2; }}\n"
    )
    return f"set +e\n{both}" + "".join(parts)


def repairs(changes: Sequence[Change], marker: str, prepare: Iterable[str] = ()) -> str:
    """One script that carries out the changes in their order, up to the first that fails.

    It runs in the directory where `payloads` were unpacked. Another such script, left running on
    the host by a run that was killed, is waited for.

    Args:
        changes: in the order of their numbers in the output.
        marker: a word that occurs in no output.
        prepare: texts to run before any of them.
    """
    lock = (
        f"exec 9>{LOCK}\n"
        f"if command -v flock >/dev/null 2>&1 && ! flock -w {LOCK_WAIT_S} 9; then\n"
        f"echo 'another run has been changing this host for {LOCK_WAIT_S} s'; exit 1\nfi\n"
    )
    parts = (
        _section(index, f"cd ./{index}\n{change.repair}" if change.files else change.repair, "say")
        + "[ $rc -eq 0 ] || exit 0\n"
        for index, change in enumerate(changes)
    )
    say = f"say() {{ printf '\\n%s\\n' \"{marker} $*\"; }}\n"
    return f"set -e\nexec 2>&1\n{say}{lock}{''.join(prepare)}set +e\n" + "".join(parts)


def payloads(changes: Sequence[Change]) -> tuple[Payload, ...]:
    """The changes' files, each under its change's number."""
    return tuple(
        Payload(name=f"{index}/{file.name}", content=file.content, source=file.source)
        for index, change in enumerate(changes)
        for file in change.files
    )


def _section(index: int, text: str, say: str) -> str:
    """One text, between two lines that `say` prints."""
    body = f"set -eu\n{text.rstrip()}"
    return f"{say} begin {index}\n(\n{body}\n) </dev/null 9>&-\nrc=$?\n{say} end {index} $rc\n"


def began(line: str, marker: str) -> int | None:
    """The number of the resource that a line of output says to begin now; None for any other
    line."""
    match = re.fullmatch(rf"{marker} begin (\d+)", line)
    return int(match[1]) if match else None


def sections(output: str, marker: str, errors: str = "") -> Mapping[int, Section]:
    """The output by resource number. Those that did not begin are missing.

    Args:
        output: standard output of the script.
        marker: the one that the script was made with.
        errors: standard error of a script of probes.
    """
    stderr = _texts(errors, marker)
    return {
        number: Section(text=text, status=status, errors=stderr.get(number, ("", None))[0])
        for number, (text, status) in _texts(output, marker).items()
    }


def _texts(output: str, marker: str) -> dict[int, tuple[str, int | None]]:
    pieces = re.split(rf"\n?^{marker} (begin \d+|end \d+ \d+)$\n?", output, flags=re.MULTILINE)
    found: dict[int, tuple[str, int | None]] = {}
    # pieces: what came before the first marker, then a marker and what followed it, in turn.
    for marked, text in zip(pieces[1::2], pieces[2::2], strict=True):
        word, number, *status = marked.split()
        index = int(number)
        found[index] = (text, None) if word == "begin" else (found[index][0], int(status[0]))
    return found
