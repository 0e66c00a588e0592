"""From steps to manifests, from manifests to a directory, from results to a report."""

import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from romana.conformance.cases import Case, Cell, ConformanceError, PodState, Sides, Step
from romana.conformance.command import selected
from romana.conformance.directory import ManifestDirectory
from romana.conformance.manifests import cluster_manifests, step_manifests
from romana.conformance.placement import place
from romana.conformance.report import Report, Wrong, percentile
from romana.conformance.run import as_expected
from romana.lab.probes import Outcome
from romana.objects import Protocol
from romana.sources.files import read_content, revision_of, stamps

A = ip_address("192.168.1.11")
POD = PodState(namespace="x", name="a", labels={"pod": "a"}, address=A)
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"namespace": "x", "name": "p"},
    "spec": {"podSelector": {}},
}


def step(**changes):
    values = {
        "policies": (POLICY,),
        "namespaces": {"x": {"ns": "x"}},
        "pods": (POD,),
        "ports": ((Protocol.TCP, 80),),
        "cells": 1,
        "blocked": {},
    }
    return Step(**{**values, **changes})


@given(st.sets(st.ip_addresses(), min_size=1, max_size=20), st.integers(1, 3))
def test_every_address_has_one_host_and_blocks_are_dealt_evenly(addresses, count):
    hosts = tuple(f"h{number}" for number in range(count))
    placement = place(addresses, hosts)
    held = [sum(each == host for each in placement.blocks.values()) for host in hosts]
    assert max(held) - min(held) <= 1
    for address in addresses:
        (block,) = [block for block in placement.blocks if address in block]
        assert placement.host(address) == placement.blocks[block]


def test_manifests_are_what_the_agents_source_reads():
    placement = place([A], ("h1",))
    files = {
        **cluster_manifests(placement, {"h1": (ip_address("198.18.0.11"),)}),
        **step_manifests(step(), placement),
    }
    assert sorted(files) == [
        "addressblock_192.168.1.0-24.json",
        "namespace_x.json",
        "networkpolicy_x_p.json",
        "node_h1.json",
        "pod_x_a.json",
    ]
    read = {name: read_content((0, 0, 0), content, name) for name, content in files.items()}
    assert not any(each.invalid for each in read.values())
    objects = {name: each.objects[0][1] for name, each in read.items()}
    pod = objects["pod_x_a.json"]
    assert (pod.node, pod.addresses, dict(pod.labels)) == ("h1", (A,), {"pod": "a"})
    assert {(port.name, port.port, port.protocol) for port in pod.ports} >= {
        ("serve-80-tcp", 80, Protocol.TCP),
        ("serve-81-sctp", 81, Protocol.SCTP),
    }
    assert objects["addressblock_192.168.1.0-24.json"].cidr == ip_network("192.168.1.0/24")


def test_only_what_differs_is_written(tmp_path):
    directory = ManifestDirectory(tmp_path)
    first = directory.apply({"a.json": b"1", "b.json": b"2"})
    before = stamps(tmp_path)
    second = directory.apply({"a.json": b"1", "c.json": b"3"})
    after = stamps(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.json": b"1",
        "c.json": b"3",
    }
    assert after[tmp_path / "a.json"] == before[tmp_path / "a.json"]
    assert first == revision_of(before) != second == revision_of(after)
    assert directory.apply({"a.json": b"1", "c.json": b"3"}) == second


@pytest.mark.parametrize(
    ("ingress", "egress", "outcome", "right"),
    [
        (True, True, Outcome.CONNECTED, True),
        (True, True, Outcome.TIMED_OUT, False),
        (True, True, Outcome.REFUSED, False),
        (False, True, Outcome.TIMED_OUT, True),
        (True, False, Outcome.TIMED_OUT, True),
        (True, False, Outcome.CONNECTED, False),
        (False, False, Outcome.REFUSED, False),
        (False, False, Outcome.UNREACHABLE, False),
    ],
)
def test_blocked_is_silent_and_nothing_else(ingress, egress, outcome, right):
    assert as_expected(Sides(ingress=ingress, egress=egress), outcome) is right


def test_cases_are_selected_by_text_or_tag():
    one = Case(description="Deny all", tags=("deny", "direction"), steps=())
    two = Case(description="Allow ipBlock", tags=("ip-block",), steps=())
    assert selected((one, two), "") == (one, two)
    assert selected((one, two), "deny ALL") == (one,)
    assert selected((one, two), "ip-block") == (two,)
    with pytest.raises(ConformanceError, match="none of the 2 cases has `direct` in it"):
        selected((one, two), "direct")


def test_the_report_counts_and_tells():
    wrong = Wrong(
        case="c",
        step=2,
        cell=Cell("x/a", "y/b", Protocol.TCP, 80),
        expected=Sides(ingress=False, egress=True),
        observed=Outcome.CONNECTED,
        told=Sides(ingress=True, egress=True),
        explanation=("because",),
    )
    report = Report(
        backend="nftables",
        hosts=2,
        cases=1,
        steps=2,
        cells=9,
        judged=6,
        wrong=(wrong,),
        seconds=1.234,
        convergence_s=(0.01, 0.03),
    )
    answer = json.loads(json.dumps(report.as_json()))
    assert (answer["cells"], answer["seconds"]) == (9, 1.23)
    assert answer["wrong"][0]["expected"] == {"ingress": "blocked", "egress": "allowed"}
    assert list(report.lines()) == [
        "wrong: c, step 2: x/a to y/b TCP 80: connected",
        "  expected that it is silent: ingress blocked, egress allowed",
        "  compiled: ingress allowed, egress allowed",
        "  because",
        "1 cases in 2 steps, 9 cells: 1 wrong, in 1.2 s (nftables, 2 hosts)",
        "a change is in force on every host after 30 ms (p99 30 ms)",
    ]


def test_percentiles():
    assert [percentile(range(100), share) for share in (0.0, 0.5, 0.99, 1.0)] == [0, 50, 99, 99]
    assert percentile((), 0.5) == 0.0
