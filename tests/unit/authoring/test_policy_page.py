"""docs/policy.md: what it shows can be used as it is."""

from __future__ import annotations

import re
from pathlib import Path

from romana.authoring.drafts import Draft, read_drafts
from romana.objects import NetworkPolicy, OperatorPolicy
from romana.sources.wire import namespace_from

PAGE = Path(__file__).parents[3] / "docs" / "policy.md"


def drafts(tmp_path) -> list[Draft]:
    found = []
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        file = tmp_path / "shown.yaml"
        file.write_text(text)
        found += read_drafts(file)
    return found


def test_its_policies_are_sound(tmp_path):
    found = drafts(tmp_path)
    assert [each.title for each in found] == ["NetworkPolicy default/pol1", "RomanaPolicy tiers"]
    assert [each.faults for each in found] == [(), ()]
    pol1, tiers = (each.kind.read(each.manifest) for each in found)
    assert isinstance(pol1, NetworkPolicy)
    assert pol1.beta
    assert isinstance(tiers, OperatorPolicy)
    assert len(tiers.ingress or ()) == 2


def test_its_annotation_isolates():
    (name, value) = re.findall(r"annotate namespace shop '([^=]*)=([^']*)'", PAGE.read_text())[0]
    metadata = {"name": "shop", "annotations": {name: value}}
    assert namespace_from({"metadata": metadata}).isolated_by == name
