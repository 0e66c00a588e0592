"""Nodes are emptied as disruption budgets allow, and given back only by who has taken them."""

import asyncio

import pytest
from nodes_api import NodesApi

from installer.drain import (
    DrainFailed,
    cordon,
    drain,
    evict,
    held,
    select,
    soften,
    uncordon,
    unsoften,
)
from installer.kubernetes import ApiError


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(evict, "POLL_S", 0.001)
    api = NodesApi()
    api.node("node1")
    return api


def emptied(api, *, timeout_s=5.0, bare=False):
    """What a drain of node1 told meanwhile."""
    told = []
    asyncio.run(drain(api, "node1", timeout_s=timeout_s, tell=told.append, bare=bare))
    return told


@pytest.mark.parametrize(
    ("pod", "where"),
    [
        ({"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}, "evict"),
        ({"ownerReferences": [{"kind": "StatefulSet", "controller": True}]}, "evict"),
        ({"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}, "stay"),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, "stay"),
        ({}, "bare"),
        ({"ownerReferences": [{"kind": "Thing"}]}, "bare"),
        ({"deletionTimestamp": "2026-11-24T00:00:00Z"}, "evict"),
    ],
)
def test_which_pods_have_to_go(pod, where):
    listed = {"items": [{"metadata": {"namespace": "n", "name": "p", "uid": "u", **pod}}]}
    found = select(listed)
    assert {name: len(getattr(found, name)) for name in ("evict", "stay", "bare")} == {
        **dict.fromkeys(("evict", "stay", "bare"), 0),
        where: 1,
    }


def test_a_pod_that_has_ended_is_lost_to_nobody():
    metadata = {"namespace": "n", "name": "p", "uid": "u"}
    found = select({"items": [{"metadata": metadata, "status": {"phase": "Succeeded"}}]})
    assert len(found.evict) == 1


def test_all_is_evicted_but_what_belongs_to_the_node(api):
    api.pod("web", "node1")
    api.pod("agent", "node1", owner="DaemonSet")
    api.pod("far", "node2")
    emptied(api)
    assert {name for _, name in api.pods} == {"agent", "far"}
    assert api.done == ["evicted web by policy/v1beta1"]


def test_evictions_are_of_the_version_that_the_server_knows(api):
    api.minor = "22"
    api.pod("web", "node1")
    emptied(api)
    assert api.done == ["evicted web by policy/v1"]


def test_a_budget_that_yields_is_waited_for(api):
    api.pod("web", "node1", app="web")
    api.budgets["web"] = 0
    told = []

    def tell(waiting):
        told.append([str(each) for each in waiting.blocked])
        api.budgets["web"] = 1

    asyncio.run(drain(api, "node1", timeout_s=5, tell=tell))
    assert told[0] == [
        "default/web (The disruption budget web needs 1 healthy pods and has 1 currently)"
    ]
    assert api.pods == {}


def test_a_budget_that_never_yields_is_named_with_the_pod(api):
    api.pod("web", "node1", app="web")
    api.budgets["web"] = 0
    with pytest.raises(DrainFailed) as failure:
        emptied(api, timeout_s=0.05)
    assert failure.value.message == (
        "node1 cannot be drained: disruption budgets allow no more evictions within 0 s: "
        "default/web (The disruption budget web needs 1 healthy pods and has 1 currently)"
    )
    assert "--drain-timeout" in failure.value.advice


def test_pods_that_do_not_end_are_named(api):
    api.pod("slow", "node1")
    api.stuck.add("slow")
    with pytest.raises(DrainFailed, match="pods have not ended within 0 s: default/slow"):
        emptied(api, timeout_s=0.05)


def test_pods_that_nothing_starts_again_are_not_lost_by_surprise(api):
    api.pod("pet", "node1", owner="")
    with pytest.raises(DrainFailed, match="default/pet, which nothing would start again"):
        emptied(api)
    assert api.done == []
    emptied(api, bare=True)
    assert api.pods == {}


def test_a_node_lost_while_it_is_drained_is_not_waited_for(api):
    api.pod("web", "node1")
    api.stuck.add("web")
    api.lost.add("node1")
    with pytest.raises(DrainFailed, match="it went down meanwhile"):
        emptied(api, timeout_s=60)


def test_an_api_server_that_is_away_for_a_moment_is_asked_again(api):
    api.pod("web", "node1")
    api.silent = 5
    emptied(api)
    assert api.pods == {}


def test_an_api_server_that_stays_away_is_the_reason_told(api):
    api.silent = 1 << 30
    with pytest.raises(DrainFailed, match="does not answer"):
        emptied(api, timeout_s=0.05)


def test_a_node_is_given_back_by_who_took_it(api):
    assert asyncio.run(cordon(api, "node1"))
    assert api.nodes["node1"]["spec"]["unschedulable"]
    assert held(list(api.nodes.values())) == ("node1",)
    assert asyncio.run(cordon(api, "node1")), "as a run after one that was killed does"
    assert asyncio.run(uncordon(api, "node1"))
    assert api.nodes["node1"]["spec"] == {}
    assert api.nodes["node1"]["metadata"]["annotations"] == {}
    assert held(list(api.nodes.values())) == ()


def test_what_an_operator_has_cordoned_stays_so(api):
    api.node("node1", unschedulable=True)
    assert not asyncio.run(cordon(api, "node1"))
    assert not asyncio.run(uncordon(api, "node1"))
    assert api.nodes["node1"]["spec"] == {"unschedulable": True}
    assert api.done == []


def test_the_soft_taint_leaves_others_as_they_are(api):
    own = {"key": "special", "effect": "NoSchedule"}
    api.node("node1", taints=[own])
    for _ in range(2):
        asyncio.run(soften(api, "node1"))
    assert len(api.nodes["node1"]["spec"]["taints"]) == 2
    assert held(list(api.nodes.values())) == ("node1",)
    for _ in range(2):
        asyncio.run(unsoften(api, "node1"))
    assert api.nodes["node1"]["spec"]["taints"] == [own]


def test_a_change_by_somebody_faster_is_made_anew(api):
    api.conflicts = 3
    assert asyncio.run(cordon(api, "node1"))
    assert api.done == ["node1: cordoned"]


def test_a_change_that_never_succeeds_is_an_error(api):
    api.conflicts = 1 << 30
    with pytest.raises(ApiError, match="modified"):
        asyncio.run(cordon(api, "node1"))
