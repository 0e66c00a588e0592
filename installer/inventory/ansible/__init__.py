"""Inventories that Ansible knows, in the one form that all of them can be had in: the JSON that a
dynamic inventory prints for `--list`, as a file or from an executable. It becomes the document that
our own YAML is read as, so that everything after it is the same; each value keeps the path that it
has there.

Ansible's own YAML and INI files are Ansible's to read (templates, vaults, patterns, plugins):
`ansible-inventory --list` prints them in this form.

Form: https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from installer.errors import Problem
from installer.inventory.ansible.hosts import Converted, Converting
from installer.inventory.document import Entry

__all__ = ["Converted", "convert", "foreign_form", "is_dynamic", "is_list", "output", "refusal"]

LIMIT_S = 120
_INI = re.compile(
    r"^\[[\w.-]+(:(children|vars|hosts))?\]\s*$|^[\w.-]+\s+ansible_\w+=", re.MULTILINE
)


def output(file: Path) -> tuple[str, tuple[Problem, ...]]:
    """What an executable inventory prints for --list."""
    where = str(file)
    try:
        done = subprocess.run(
            (str(file.resolve()), "--list"),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        return "", (Problem(where=where, what=f"cannot be executed: {error.strerror}"),)
    except subprocess.TimeoutExpired:
        return "", (Problem(where=where, what=f"{file.name} --list does not end"),)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        what = f"{file.name} --list ended with {done.returncode}: {last}"
        return "", (Problem(where=where, what=what),)
    return done.stdout, ()


def is_dynamic(file: Path) -> bool:
    """Whether a file is an executable inventory."""
    return file.is_file() and os.access(file, os.X_OK)


def is_list(text: str) -> bool:
    """Whether a text is the JSON of `--list`."""
    return text.lstrip().startswith("{") and '"_meta"' in text


def foreign_form(text: str, document: Entry | None) -> str:
    """Which form of Ansible's own an inventory has that is not ours to read: "INI", "YAML", or
    nothing."""
    if document is None or not isinstance(document.value, Mapping):
        return "INI" if _INI.search(text) else ""
    groups = (item.value for name, item in document.value.items() if name not in ("hosts", "aws"))
    held = any(
        isinstance(group, Mapping) and isinstance(_value(group.get("hosts")), Mapping)
        for group in groups
    )
    return "YAML" if held or "all" in document.value else ""


def refusal(file: str, form: str) -> Problem:
    """What is said of such a form."""
    return Problem(
        where=file,
        what=f"is an inventory of Ansible's in {form} form, which only Ansible reads",
        advice=f"ansible-inventory -i {file} --list >hosts.json gives the form that -i takes",
    )


def convert(text: str, file: str) -> Converted:
    """The JSON of `--list` as a document of ours.

    Args:
        text: the JSON.
        file: what to call its origin.
    """
    made = Converted()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        made.problems.append(Problem(where=f"{file}:{error.lineno}", what=f"not JSON: {error.msg}"))
        return made
    hostvars = data.get("_meta", {}).get("hostvars") if isinstance(data, dict) else None
    if not isinstance(hostvars, dict):
        what = "has no _meta.hostvars, as --list of a dynamic inventory prints it"
        made.problems.append(Problem(where=file, what=what))
        return made
    made.document = Converting(data, hostvars, file, made).document()
    return made


def _value(entry: Any) -> Any:
    return entry.value if isinstance(entry, Entry) else None
