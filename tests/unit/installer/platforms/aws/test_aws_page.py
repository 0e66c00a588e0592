"""The page on AWS lists every permission that is used."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[5]
PAGE = ROOT / "docs/aws.md"


def test_every_permission_is_on_the_page(cloud, cluster, aws) -> None:
    def silent(event: object) -> None:
        pass

    aws().provision(cluster(), silent)
    aws().destroy(cluster(), silent)
    named = set(re.findall(r"`((?:ec2|iam|servicequotas):\w+)`", PAGE.read_text()))
    assert set(cloud.calls) - named == set()
    # Also what no run here came to.
    text = "".join(path.read_text() for path in (ROOT / "installer/platforms/aws").rglob("*.py"))
    operations = re.findall(r'"(?:ec2|iam)",\s+"(\w+)"|operation="(\w+)"', text)
    words = {"".join(part.title() for part in (a or b).split("_")) for a, b in operations}
    known = {each.split(":")[1] for each in named}
    assert words - known == set()
