"""The smoke test against a real cluster: it passes where all is well, and fails, in the right
checks, where the network is broken: an agent that does not run, a table that was opened, a missing
route, and the fault of Romana 0.9.3.1, whose rules let every source in.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import yaml

from installer import platforms
from installer.commands.preparing import connected
from installer.errors import SmokeFailed
from installer.events import CheckResult, Event
from installer.smoke import manifests, run
from installer.smoke.pace import PACE

FREEZE = "systemctl kill --signal=STOP --kill-who=main romana-agent"
MEND = "systemctl kill --signal=CONT --kill-who=main romana-agent; systemctl restart romana-agent"
"""A frozen agent neither follows policies nor repairs; a fresh one puts everything right."""
DENIED = "node still reaches its own pod, same host"
ALLOWED = "blocked also through Service, across hosts"
"""The last checks of the phases in which all is denied, and in which one peer is allowed."""


class EnoughError(Exception):
    """Ends a run as Ctrl-C would: what is to be shown has been."""


@dataclass
class Saboteur:
    """Runs a script on a host when the check `after` is reported, and ends the run once `until`
    is."""

    act: Callable[[str, str], object]
    host: str
    after: str
    script: str
    until: str
    frozen: bool = False
    results: dict[str, CheckResult] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if not isinstance(event, CheckResult):
            return
        self.results[event.name] = event
        if event.name == self.after:
            self.frozen = True
            self.act(self.host, f"{FREEZE}\n{self.script}")
        if event.name == self.until:
            self.mend()
            raise EnoughError

    def mend(self) -> None:
        if self.frozen:
            self.act(self.host, MEND)
        self.frozen = False

    @property
    def failed(self) -> set[str]:
        return {name for name, result in self.results.items() if not result.passed}


@pytest.fixture(scope="module")
def smoke(installed) -> Iterator[Callable[..., tuple[CheckResult, ...]]]:
    """The smoke test on the shared cluster, with connections for the evidence."""
    pace = replace(PACE, open_limit_s=8)  # a route that is missing will not come
    cluster = platforms.of(installed.cluster).attach(installed.cluster)
    with connected(cluster, cluster.hosts, lambda _: None) as sessions:
        yield lambda emit: run(cluster, sessions, emit, pace)


@pytest.fixture
def sabotaged(installed, smoke) -> Callable[..., Saboteur]:
    """A run during which the agent of a host is frozen and a script is run there."""

    def one(host: str, after: str, script: str, until: str) -> Saboteur:
        saboteur = Saboteur(installed.on, host, after, script, until)
        try:
            with pytest.raises((EnoughError, SmokeFailed)):
                smoke(saboteur)
        finally:
            saboteur.mend()
        assert installed.kubectl("get", "pods", "-A", "-l", manifests.LABEL, "-o", "name") == ""
        return saboteur

    return one


EVERYTHING = ("get", "pods,networkpolicies,services,namespaces", "-A", "-o", "name")


def test_a_healthy_cluster_passes_and_nothing_is_left(installed, smoke, eventually) -> None:
    eventually(30, lambda: "romana-smoke" not in installed.kubectl(*EVERYTHING))
    before = installed.kubectl(*EVERYTHING)
    began = time.monotonic()
    results = smoke(lambda _: None)
    took = time.monotonic() - began
    print(f"smoke test: {len(results)} checks in {took:.1f} s")
    assert all(result.passed for result in results)
    assert {"default deny blocks, same host", "default deny blocks, across hosts"} <= {
        result.name for result in results
    }
    eventually(30, lambda: installed.kubectl(*EVERYTHING) == before)


def test_an_agent_that_does_not_run_is_found(sabotaged) -> None:
    found = sabotaged("node2", "pods start", "", ALLOWED)
    assert "default deny blocks, across hosts" in found.failed
    assert "default deny blocks, same host" not in found.failed
    evidence = yaml.safe_load(found.results["default deny blocks, across hosts"].evidence)
    assert set(evidence["hosts"]) == {"node1", "node2"}
    assert any("ip route get" in line for line in evidence["hosts"]["node1"])
    assert evidence["policies"][0]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_an_opened_table_is_found(sabotaged) -> None:
    """The verdict of every pod changed to accept, as a bug or an administrator could."""
    opened = "nft insert rule inet romana forward accept"
    found = sabotaged("node1", DENIED, opened, ALLOWED)
    assert "another label stays blocked, same host" in found.failed
    assert "another namespace stays blocked, same host" in found.failed
    assert "blocked also through Service, same host" in found.failed


def test_a_source_match_that_lets_everyone_in_is_found(sabotaged) -> None:
    """Romana 0.9.3.1: once a port was allowed for one peer, it was open for all. Its own smoke test
    never asked a third pod, and passed."""
    letting = (
        "for chain in $(nft -a list table inet romana | "
        "sed -n 's/^\\tchain \\(in-[^ ]*\\) {.*/\\1/p'); do\n"
        '  nft insert rule inet romana "$chain" tcp dport 8080 accept\ndone'
    )
    found = sabotaged("node1", DENIED, letting, ALLOWED)
    assert "allowed peer connects, same host" not in found.failed
    assert "another port stays blocked, same host" not in found.failed
    assert {
        "another label stays blocked, same host",
        "another namespace stays blocked, same host",
        "blocked also through Service, same host",
    } <= found.failed


def test_a_missing_route_is_found_and_shown(sabotaged) -> None:
    cut = (
        "ip route show proto 82 via 198.18.0.12 | "
        'while read -r to rest; do ip route del "$to"; done'
    )
    found = sabotaged("node1", "pods start", cut, DENIED)
    name = "pods reach each other (TCP, UDP, ICMP), across hosts"
    assert name in found.failed
    assert "pods reach each other (TCP, UDP, ICMP), same host" not in found.failed
    blocked = found.results["default deny blocks, across hosts"]
    assert not blocked.passed, "silence on a broken path proves nothing"
    assert yaml.safe_load(found.results[name].evidence)["hosts"]["node1"]


def test_what_a_killed_run_left_is_removed_by_the_next(installed, smoke, eventually) -> None:
    owner = f"{socket.gethostname()}:{2**22 + 1}"
    left = manifests.namespace("romana-smoke-dead00-a", "dead00", owner)
    installed.kubectl("create", "-f", "-", stdin=json.dumps(left))
    events: list[Event] = []
    smoke(events.append)
    assert any("romana-smoke-dead00-a" in str(event) for event in events)
    eventually(30, lambda: "dead00" not in installed.kubectl("get", "namespaces", "-o", "name"))
