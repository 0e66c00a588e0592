"""Real hosts for the tests in this folder: the sandbox platform's, under names of their own.

`hosts` (session) is a bare cluster: two hosts that answer SSH, nothing installed. A test that
breaks them makes its own with `make_cluster`. Everything is destroyed at the end, also after a
failure, and what a killed run left is removed at the start.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from installer.cluster import Cluster, Host, Network
from installer.events import Event
from installer.platforms.sandbox import leftovers
from installer.platforms.sandbox.leftovers import prefix_of
from installer.platforms.sandbox.platform import Sandbox
from romana.lab.exclusive import hold

HOSTS = IPv4Network("198.18.0.0/24")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root there are no hosts; say so instead of failing."""
    if os.geteuid() != 0:
        mark = pytest.mark.skip(reason="real hosts need root")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(mark)


def cluster_value(name: str, state: Path, nodes: int) -> Cluster:
    """A cluster of one controller and some nodes, as the inventory would say it."""
    names = ("controller", *(f"node{number}" for number in range(1, nodes + 1)))
    hosts = tuple(
        Host(
            name=each,
            address=HOSTS[10 + number],
            groups=("controller",) if number == 0 else ("nodes",),
        )
        for number, each in enumerate(names)
    )
    network = Network(
        pods=IPv4Network("10.112.0.0/12"), services=IPv4Network("10.96.0.0/16"), hosts=HOSTS
    )
    return Cluster(
        name=name,
        platform="sandbox",
        kubernetes="auto",
        network=network,
        hosts=hosts,
        state=state,
    )


@dataclass(frozen=True)
class Made:
    """A cluster whose hosts are up, and how to get at them."""

    cluster: Cluster
    platform: Sandbox
    events: list[Event]

    def ssh(
        self, name: str, command: str, *, timeout_s: float = 60, may_be_cut: bool = False
    ) -> str:
        """What a command prints on a host, over OpenSSH, with the host key pinned.

        may_be_cut: the host may go down before ssh, which then exits with 255, has its answer.
        """
        host = next(host for host in self.cluster.hosts if host.name == name)
        known = self.cluster.state / f"known-{name}"
        known.write_text(f"{host.address} {host.ssh.host_key}\n")
        options = (
            f"UserKnownHostsFile={known}",
            "StrictHostKeyChecking=yes",
            f"IdentityFile={host.ssh.key}",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
        )
        words = [word for option in options for word in ("-o", option)]
        line = (*self.platform.inside(self.cluster), "ssh", *words, f"root@{host.address}", command)
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode in ((0, 255) if may_be_cut else (0,)), (
            f"{command!r} on {name}: {done.stdout}{done.stderr}"
        )
        return done.stdout

    def grown(self, nodes: int) -> Cluster:
        """The same cluster with another number of nodes."""
        return replace(
            self.cluster, hosts=cluster_value(self.cluster.name, self.cluster.state, nodes).hosts
        )


@contextmanager
def made_cluster(
    name: str, state: Path, nodes: int = 1, bundle: Path | None = None
) -> Iterator[Made]:
    """Hosts for the time of a block. One run at a time has a name; what another left goes first.

    bundle: the directory of an unpacked one that they are made from.
    """
    platform, events = Sandbox(), []
    with hold(f"{prefix_of(name)}-tests"):
        leftovers.remove(name)
        state.mkdir(mode=0o700, exist_ok=True)
        cluster = replace(cluster_value(name, state, nodes), bundle=bundle)
        try:
            yield Made(platform.provision(cluster, events.append), platform, events)
        finally:
            platform.destroy(cluster, events.append)
            shutil.rmtree(state)
        assert not leftovers.take(name)


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Two hosts that answer SSH, with nothing installed; to be left as they are found."""
    with made_cluster("pytest-hosts", tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture(scope="session")
def make_cluster() -> Callable[..., AbstractContextManager[Made]]:
    """`made_cluster`, for tests that break their hosts."""
    return made_cluster
