"""The table of checks: what must hold for any such table to prove anything."""

import itertools
from pathlib import Path

import pytest

from installer.smoke import manifests, scripts
from installer.smoke.checks import DENY, OPEN, PHASES, SERVICES
from installer.smoke.flows import Expect, Flow, Scope
from installer.smoke.placement import (
    Addresses,
    Site,
    control,
    destination,
    players,
    probes,
    sites,
)
from installer.smoke.play import questions

TWO = (Site(node="n1", address="198.18.0.1"), Site(node="n2", address="198.18.0.2"))


def flows(expect: Expect) -> set[Flow]:
    return {f for p in PHASES for c in p.checks if c.expect is expect for f in c.flows}


def test_what_is_blocked_is_open_before_and_after() -> None:
    before, after = PHASES[0], PHASES[-1]
    for phase in (before, after):
        assert phase.policies == ()
        connecting = {f for c in phase.checks if c.expect is Expect.CONNECTS for f in c.flows}
        assert flows(Expect.BLOCKED) <= connecting


def test_everything_the_issue_lists_is_there() -> None:
    titles = " ".join(check.title for phase in PHASES for check in phase.checks)
    for word in ("reach each other", "source address", "Service", "reaches node", "node reaches",
                 "default deny blocks", "allowed peer", "another label", "another port",
                 "UDP, ICMP", "another namespace", "reverse", "through Service", "kubelet",
                 "egress deny", "egress exception", "change admits", "change blocks",
                 "established", "restores"):  # fmt: skip
        assert word in titles


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.title)
def test_every_check_runs_within_a_host_and_across(phase) -> None:
    pods = players(TWO)
    asked = questions(phase, None, pods, itertools.count())
    for check in phase.checks:
        scopes = {q.probe.scope for q in asked if q.check is check}
        if check.expect in (Expect.CUT, Expect.HEALTHY):
            continue
        assert scopes == ({check.only} if check.only else set(Scope))


def test_titles_and_probe_ids_are_unique() -> None:
    titles = [check.title for phase in PHASES for check in phase.checks]
    assert len(titles) == len(set(titles))
    pods, numbers = players(TWO), itertools.count()
    asked = [q.probe for p in PHASES for q in questions(p, None, pods, numbers)]
    ids = {probe.id: probe for probe in asked}
    assert len(ids) == len(set(asked))


def test_no_flow_is_expected_to_connect_and_to_be_blocked() -> None:
    for phase in PHASES:
        seen: dict[Flow, set[bool]] = {}
        for check in phase.checks:
            for flow in check.flows:
                seen.setdefault(flow, set()).add(check.expect in (Expect.BLOCKED, Expect.CUT))
        assert all(len(kinds) == 1 for kinds in seen.values())


def test_all_is_denied_from_when_health_is_noted_until_it_is_compared() -> None:
    titles = [phase.title for phase in PHASES]
    first = next(i for i, phase in enumerate(PHASES) if DENY in phase.policies)
    last = next(
        i for i, p in enumerate(PHASES) if any(c.expect is Expect.HEALTHY for c in p.checks)
    )
    assert all(DENY in phase.policies for phase in PHASES[first : last + 1]), titles


def test_pods_are_of_three_roles_in_two_namespaces() -> None:
    pods = players(TWO)
    assert {pod.role for pod in pods if pod.namespace == "a"} == {"frontend", "backend", "other"}
    assert {pod.namespace for pod in pods} == {"a", "b"}
    assert {pod.site.node for pod in pods if pod.actor == "backend"} == {"n1", "n2"}


def node(name, *, ready=True, taints=(), cordoned=False, zone="") -> dict:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"effect": t} for t in taints], "unschedulable": cordoned},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "addresses": [
                {"type": "Hostname", "address": name},
                {"type": "InternalIP", "address": "fd00::1"},
                {"type": "InternalIP", "address": "198.18.0.1"},
            ],
        },
    }


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], []),
        ([node("b"), node("a")], ["a", "b"]),
        ([node("a", ready=False), node("b")], ["b"]),
        ([node("a", taints=["NoSchedule"]), node("b"), node("c", cordoned=True)], ["b"]),
        ([node("a", taints=["NoSchedule"])], ["a"]),
        ([node("a", taints=["PreferNoSchedule"])], ["a"]),
        ([node("a", zone="x"), node("b", zone="x"), node("c", zone="y")], ["a", "c", "b"]),
        ([node(f"n{i:02}") for i in range(20)], [f"n{i:02}" for i in range(8)]),
    ],
)
def test_nodes_to_test(nodes, expected) -> None:
    found = sites(nodes)
    assert [site.node for site in found] == expected
    assert all(site.address == "198.18.0.1" for site in found)


def test_destinations() -> None:
    pods = players(TWO)
    addresses = Addresses(
        pods={pod.name: f"10.0.0.{i}" for i, pod in enumerate(pods)},
        services={"backend-2": "10.96.0.2", "backend-1": "10.96.0.1"},
    )
    found = {}
    for flow in (Flow("frontend"), SERVICES[0], Flow("frontend", "backend", 10250, via="host")):
        probe = probes(flow, pods, itertools.count())[1]
        found[flow.via] = destination(probe, addresses)
    assert found == {
        "pod": ("10.0.0.5", 8080),
        "service": ("10.96.0.2", 80),
        "host": ("198.18.0.2", 10250),
    }


def test_control_asks_the_server_itself() -> None:
    pods = players(TWO)
    for flow in (*OPEN, *SERVICES):
        for probe in probes(flow, pods, itertools.count()):
            own = control(probe)
            assert own.source == own.target == probe.target
            assert own.flow.transport == flow.transport
            assert own.flow.port == (8080 if flow.via == "service" else flow.port)
            assert own.flow.via == "pod"


def test_a_pod_on_the_hosts_network_opens_no_port() -> None:
    host = next(pod for pod in players(TWO) if pod.actor == "node")
    manifest = manifests.pod(host, "abc")
    assert manifest["spec"]["hostNetwork"]
    assert "httpd" not in manifest["spec"]["containers"][0]["command"][2]


@pytest.mark.parametrize("transport", ["tcp", "udp", "icmp"])
def test_scripts_are_posix_sh(transport, tmp_path) -> None:
    import subprocess

    line = scripts.watch("p1", transport, "10.0.0.1", 8080, 100)
    text = "\n".join((scripts.PRELUDE, line, scripts.stop("p1"), scripts.count("s", "10.0.0.1", 1)))
    for server in (
        manifests.pod(p, "x")["spec"]["containers"][0]["command"][2] for p in players(TWO)
    ):
        (tmp_path / "script").write_text(text + "\n" + server)
        subprocess.run(("sh", "-n", tmp_path / "script"), check=True)


def test_the_documentation_has_this_table() -> None:
    rows = [
        f"| {phase.title if i == 0 else ''} | {check.title} | {check.expect.value} |"
        for phase in PHASES
        for i, check in enumerate(phase.checks)
    ]
    page = Path(__file__).parents[4] / "docs/smoke-test.md"
    shown = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert shown[2:] == rows
