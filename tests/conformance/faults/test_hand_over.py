"""An agent is stopped and started, and hands over to another release and back, under traffic and
while policies change."""

import shutil
import signal
from itertools import product
from pathlib import Path

import pytest
from dataplanes import DATAPLANES, on

import romana

ROUNDS = 2
OLD = {
    "version.py": ('VERSION = "', 'VERSION = "0.0.1-'),
    **DATAPLANES["nftables"].old_release,
    **DATAPLANES["iptables-nft"].old_release,
}
"""What another release has otherwise: files, with a text and what stands there instead."""


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


@on("nftables", "iptables-nft")
def test_a_restart_opens_and_shuts_nothing(stage):
    with stage.churning(stage.visit):
        for _ in range(ROUNDS):
            for name in stage.cluster.hosts:
                stage.cluster.end(name, signal.SIGTERM)
                stage.cluster.revive(name)
    stage.sound()
    stage.judge(switches=2 * ROUNDS)


@on("nftables", "iptables-nft")
def test_another_release_takes_over_and_gives_back(stage, release):
    with stage.churning(stage.visit):
        for _ in range(ROUNDS):
            for old, name in product((release, None), stage.cluster.hosts):
                stage.cluster.end(name, signal.SIGTERM)
                stage.cluster.revive(name, old)
                version = stage.cluster.ask(name, "status")["version"]
                assert version.startswith("0.0.1-") is (old is not None)
                host = stage.cluster.hosts[name].namespace
                stage.eventually(
                    lambda host=host, old=old: (
                        stage.dataplane.releases(host) <= {"old" if old else "new"}
                    )
                )
    stage.sound()
    stage.judge(switches=4 * ROUNDS)
