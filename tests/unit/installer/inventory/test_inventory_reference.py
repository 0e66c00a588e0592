"""The page on the inventory names every key there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from installer.inventory import schema
from installer.inventory.sections import SECTIONS

PAGE = Path(__file__).parents[4] / "docs/inventory.md"


def test_the_page_names_every_key_in_a_table() -> None:
    named = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    keys = [*schema.CLUSTER, *schema.NETWORK, *schema.BACKUP, *schema.host_keys(Path())]
    keys += [key for section in SECTIONS.values() for key in section.keys(Path())]
    assert sorted(named) == sorted(keys)


def test_the_page_mentions_every_section_and_group() -> None:
    text = PAGE.read_text()
    assert [key for key in (*schema.TOP, *schema.GROUPS) if key not in text] == []
