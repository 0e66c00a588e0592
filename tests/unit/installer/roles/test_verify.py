"""The last role's questions, asked by sh of an API server's answer."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from installer.resources import Condition
from installer.roles.role import Target
from installer.roles.verify import verify

Targets = Callable[..., Target]
LABELS = {"topology.kubernetes.io/zone": "east", "romana.io/segment": "default", "x": "1"}


def node(ready: str = "True", labels: dict[str, str] = LABELS) -> str:
    """A Node as the API server prints it: indented for people, in the order of its fields."""
    conditions = [
        {"type": "DiskPressure", "status": "False", "reason": "KubeletHasNoDiskPressure"},
        {"type": "Ready", "status": ready, "reason": "KubeletReady"},
    ]
    return json.dumps(
        {"kind": "Node", "metadata": {"labels": labels}, "status": {"conditions": conditions}},
        indent=2,
    )


def holds(tmp_path: Path, target: Target, name: str, answer: str) -> bool:
    """Whether the condition holds where curl gets this answer; an empty one is a refused
    connection."""
    (tmp_path / "answer").write_text(answer)
    curl = tmp_path / "curl"
    curl.write_text(f"#!/bin/sh\n[ -s {tmp_path}/answer ] || exit 7\ncat {tmp_path}/answer\n")
    curl.chmod(0o755)
    found = next(
        each for each in verify(target) if isinstance(each, Condition) and each.name.endswith(name)
    )
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-eu", "-c", found.holds], env=environment).returncode == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(node(), True), (node(ready="False"), False), (node(ready="Unknown"), False), ("", False)],
)
def test_ready(tmp_path: Path, target: Targets, answer: str, expected: bool) -> None:
    assert holds(tmp_path, target("n1"), "is Ready", answer) is expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (LABELS, True),
        (LABELS | {"romana.io/segment": "rack2"}, False),
        ({"topology.kubernetes.io/zone": "east"}, False),
    ],
)
def test_labels(tmp_path: Path, target: Targets, labels: dict[str, str], expected: bool) -> None:
    plain = target("n1")
    wanted = replace(plain, host=replace(plain.host, labels=(("x", "1"),)))
    assert holds(tmp_path, wanted, "its labels", node(labels=labels)) is expected
    assert not holds(tmp_path, wanted, "its labels", "")
