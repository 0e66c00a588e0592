"""An agent is stopped and started, and hands over to another release and back, under traffic and
while policies change."""

import shutil
import signal
from itertools import product
from pathlib import Path

import pytest

import romana

ROUNDS = 2
OLD = {
    "version.py": ('VERSION = "', 'VERSION = "0.0.1-'),
    "dataplane/programs.py": (
        '{Direction.INGRESS: "in", Direction.EGRESS: "eg"}',
        '{Direction.INGRESS: "into", Direction.EGRESS: "out"}',
    ),
}
"""What another release has otherwise: every chain and set of a program has another name."""


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A directory with another release of the agent."""
    where = tmp_path_factory.mktemp("release")
    whole = Path(romana.__file__).parent
    shutil.copytree(whole, where / "romana", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (text, other) in OLD.items():
        path = where / "romana" / name
        content = path.read_text()
        assert content.count(text) == 1
        path.write_text(content.replace(text, other))
    return where


def test_a_restart_opens_and_shuts_nothing(stage):
    with stage.churning(stage.visit):
        for _ in range(ROUNDS):
            for name in stage.cluster.hosts:
                stage.cluster.end(name, signal.SIGTERM)
                stage.cluster.revive(name)
    stage.sound()
    stage.judge(switches=2 * ROUNDS)


def test_another_release_takes_over_and_gives_back(stage, release):
    with stage.churning(stage.visit):
        for _ in range(ROUNDS):
            for old, name in product((release, None), stage.cluster.hosts):
                stage.cluster.end(name, signal.SIGTERM)
                stage.cluster.revive(name, old)
                version = stage.cluster.ask(name, "status")["version"]
                assert version.startswith("0.0.1-") is (old is not None)
                chains = stage.cluster.hosts[name].namespace.run("nft", "list", "chains")
                for prefix in ("in", "eg") if old else ("into", "out"):  # the other one's
                    assert f"chain {prefix}-" not in chains
    stage.sound()
    stage.judge(switches=4 * ROUNDS)
