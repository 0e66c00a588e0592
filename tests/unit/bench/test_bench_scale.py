"""The cluster that is made up, as the API would serve it; and how figures are read."""

from dataclasses import replace

import msgspec
import pytest

from romana.bench.errors import BenchError
from romana.bench.scale.api import Awaited, changed
from romana.bench.scale.command import checked, table, tenth
from romana.bench.scale.commits import Commit
from romana.bench.scale.documents import document, event, listing
from romana.bench.scale.orders import Change, Told
from romana.bench.scale.outcome import Kernel, Outcome, Start, Times
from romana.bench.scale.synthetic import Cluster, Shape
from romana.sources.kinds import (
    BLOCK,
    NAMESPACE,
    NODE,
    POD,
    POLICY,
    WireEvent,
    decode_object,
    decode_page,
)

SMALL = Shape(pods=40, policies=20, iterations=5, nodes=4, pods_per_node=6)


def objects(cluster):
    return {
        NAMESPACE: cluster.namespaces(),
        NODE: cluster.nodes(),
        BLOCK: cluster.blocks(),
        POLICY: [*cluster.policies(), cluster.probe_policy()],
        POD: [*cluster.pods(), cluster.probe(3), cluster.probe(3, admitted=False)],
    }


def without_uid(obj):
    return msgspec.structs.replace(obj, uid="") if hasattr(obj, "uid") else obj


def test_an_agent_reads_of_the_documents_what_they_were_made_of():
    for kind, found in objects(Cluster(SMALL)).items():
        page = decode_page(kind, listing(kind, [document(kind, e, 7) for e in found], 9, "next"))
        assert (page.version, page.more, page.invalid) == ("9", "next", [])
        assert [without_uid(each) for each in page.objects] == list(found)


def test_a_pod_is_as_large_as_in_a_cluster_in_use():
    assert 3_000 < len(document(POD, Cluster(SMALL).pod(1), 1)) < 6_000


def test_an_event_is_one_line_of_a_watch():
    pod = Cluster(SMALL).probe(1)
    line = event("ADDED", document(POD, pod, 12))
    assert line.count(b"\n") == 1
    found = msgspec.json.decode(line, type=WireEvent)
    assert found.type == "ADDED"
    assert decode_object(POD, found.object).key == pod.key


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"pods": 5}, "--pods 5: must be from 6"),
        ({"pods": 10**6}, "--pods 1000000"),
        ({"policies": -1}, "--policies -1"),
        ({"nodes": 1}, "--nodes 1"),
        ({"iterations": 1}, "--iterations 1"),
        ({"pods_per_node": 0}, "--pods-per-node 0"),
        ({"remotes_pods": 11}, "--remotes-pods 11"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(wrong, option):
    assert checked(SMALL) == SMALL
    with pytest.raises(BenchError, match=option):
        checked(replace(SMALL, **wrong))


def test_a_tenth_keeps_the_pods_of_the_host_and_makes_sense():
    whole = Shape(pods=100_000, policies=10_000, iterations=1_000, nodes=5_000)
    assert tenth(whole) == Shape(pods=10_000, policies=1_000, iterations=100, nodes=500)
    assert checked(tenth(SMALL)) == replace(SMALL, pods=6, policies=2, iterations=2, nodes=2)


def test_what_the_kernel_holds_is_counted():
    items = [
        {"metainfo": {}},
        {"table": {"name": "romana"}},
        {"set": {"name": "a", "elem": ["10.0.0.1", "10.0.0.2"]}},
        {"map": {"name": "b", "elem": [["x", "y"]]}},
        {"set": {"name": "empty"}},
        {"chain": {"name": "forward"}},
        {"rule": {"chain": "forward"}},
        {"rule": {"chain": "forward"}},
    ]
    listing_ = msgspec.json.encode({"nftables": items}).decode()
    assert Kernel.of(listing_) == Kernel(sets=3, elements=3, largest=2, chains=1, rules=2)


def test_growth_is_shown():
    def outcome(factor):
        return Outcome(
            shape=SMALL,
            start=Start(2.0 * factor, 1.0 * factor),
            resident_mib=50.0,
            peak_mib=60.0,
            idle_share=0.0,
            changes={"pod added": Times.of([1.0 * factor, 2.0, 9.0])},
            churn_per_s=0,
            churn=None,
            churn_share=0.0,
            churn_commits=0,
            churn_folded=0,
            kernel=Kernel(1, 2, 2, 1, 1),
        )

    made = table([outcome(1), outcome(3)])
    cells = list(zip(*(column.cells for column in made.columns), strict=True))
    assert ("start to in force, s", "2.00", "6.00", "x 3.0") in cells
    assert not any("churn" in row[0] for row in cells)
    assert next(row for row in cells if row[0].startswith("idle"))[-1] == ""


@pytest.mark.parametrize("policies", [0, 7, 100, 250])
def test_a_new_policy_concerns_a_pod_of_this_host(policies):
    cluster = Cluster(Shape(pods=2000, policies=policies, nodes=50, pods_per_node=100))
    local = {cluster.pod(number).namespace for number in range(cluster.shape.pods_per_node)}
    for number in range(5):
        what, kind, policy = changed(cluster, Change("policy added", number))
        assert (what, kind) == ("ADDED", POLICY)
        assert policy.namespace in local
        assert policy.name not in {each.name for each in cluster.policies()}


def test_a_change_that_the_next_overtook_is_not_awaited_and_one_that_is_lost_is_told():
    awaited = Awaited()
    for address, at in ((b"a", 1.0), (b"b", 1.0), (b"c", 1.0), (b"b", 3.0)):
        awaited.add(address, at)
    assert awaited.lost == 2
    awaited.heard(Commit(1.5, frozenset({b"a", b"other"})))
    assert awaited.lost == 1, "c"
    awaited.heard(Commit(4.0, frozenset({b"c"})))
    assert awaited.lost == 0
    assert awaited.told() == Told((500.0, 3000.0), 2, folded=2)
