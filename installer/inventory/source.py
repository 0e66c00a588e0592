"""What an inventory is read from: YAML of ours in a file, or what a dynamic inventory of Ansible's
prints, from an executable or in a file. All become one document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.errors import Problem
from installer.inventory import ansible
from installer.inventory.document import Entry, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An inventory as it was found. `document` is None where it has no form that can be read."""

    document: Entry | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    passwords: Mapping[str, str] | None = None
    """sudo's, by host. They are in no document, and so in no message."""
    names_hosts: bool = False


def read(file: Path) -> Source:
    """Reads an inventory; what is wrong with its form is part of the answer."""
    name = short(file)
    if ansible.is_dynamic(file):
        text, problems = ansible.output(file)
        if problems:
            return Source(document=None, problems=problems)
        return _theirs(text, name)
    try:
        text = file.read_text()
    except OSError as error:
        problem = Problem(where=str(file), what=f"cannot be read: {error.strerror}")
        return Source(document=None, problems=(problem,))
    except UnicodeDecodeError:
        return Source(document=None, problems=(Problem(where=str(file), what="is not UTF-8 text"),))
    return _theirs(text, name) if ansible.is_list(text) else _ours(text, name)


def _ours(text: str, name: str) -> Source:
    document, problems = parse(text, name)
    form = ansible.foreign_form(text, document)
    if form:
        return Source(document=None, problems=(ansible.refusal(name, form),))
    listed = document is not None and isinstance(document.value, Mapping)
    return Source(
        document=document,
        problems=problems,
        names_hosts=listed and "hosts" in document.value,  # type: ignore[union-attr, operator]
    )


def _theirs(text: str, name: str) -> Source:
    made = ansible.convert(text, name)
    return Source(
        document=made.document,
        problems=tuple(made.problems),
        warnings=tuple(dict.fromkeys(made.warnings)),
        passwords=made.passwords,
        names_hosts=True,
    )


def short(file: Path) -> str:
    """How a file is called in messages: below the working directory by its relative path."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
