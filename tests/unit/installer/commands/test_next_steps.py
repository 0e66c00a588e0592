"""The commands that a run ends with."""

from __future__ import annotations

import shutil
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from installer.cluster import Cluster, Host, Network
from installer.commands.next_steps import kubectl, next_steps, program

CLUSTER = Cluster(
    name="demo",
    platform="sandbox",
    kubernetes="v1.34.1",
    network=Network(
        pods=IPv4Network("10.112.0.0/12"),
        services=IPv4Network("10.96.0.0/16"),
        hosts=IPv4Network("198.18.0.0/24"),
    ),
    hosts=(Host(name="head", address=IPv4Address("198.18.0.10"), groups=("controller",)),),
    state=Path("/state/demo"),
)
CACHED = Path("/cache/kubectl")


def none(name: str) -> str | None:
    return None


@pytest.mark.parametrize(
    ("called", "found", "expected"),
    [
        (".venv/bin/romana-install", None, ".venv/bin/romana-install"),
        ("/usr/bin/romana-install", "/usr/bin/romana-install", "romana-install"),
        ("/a/romana-install", "/b/romana-install", "/a/romana-install"),
        ("/x/installer/cli.py", None, "romana-install"),
    ],
)
def test_the_program_is_called_as_the_shell_finds_it(
    called: str, found: str | None, expected: str
) -> None:
    assert program(called, lambda name: found) == expected


@pytest.mark.parametrize(
    ("there", "cached", "expected"),
    [
        ({"kubectl", str(CACHED)}, CACHED, "kubectl"),
        ({str(CACHED)}, CACHED, "/cache/kubectl"),
        (
            set(),
            None,
            "romana-install ssh -n demo head -- kubectl --kubeconfig /etc/kubernetes/admin.conf",
        ),
    ],
)
def test_there_is_always_a_kubectl(
    monkeypatch: pytest.MonkeyPatch, there: set[str], cached: Path | None, expected: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["romana-install"])
    assert kubectl(CLUSTER, cached, lambda name: name if name in there else None) == expected


def test_the_steps_name_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/romana-install"])
    monkeypatch.setattr(shutil, "which", none)
    lines = next_steps(CLUSTER, None)
    assert "  export KUBECONFIG=/state/demo/kubeconfig" in lines
    for verb in ("status", "test", "destroy"):
        assert any(f".venv/bin/romana-install {verb} -n demo " in line for line in lines)
