"""Kubernetes' version skew policy as a table: the examples of its own page, in its order, and what
follows for upgrades."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.upgrade.path import refusals, sequence
from installer.upgrade.versions import Installed, numbers

CONTROL = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def hosts(apis, kubelets=(), **others):
    """Controllers with these API servers and nodes with these kubelets; what is not said of a
    controller is as its API server."""
    found = {}
    for number, version in enumerate(apis, 1):
        found[f"c{number}"] = {
            **dict.fromkeys(CONTROL, version),
            **{name.replace("_", "-"): value for name, value in others.items()},
        }
    for number, version in enumerate(kubelets, 1):
        found[f"n{number}"] = {"kubelet": version, "kube-proxy": version}
    return Installed(hosts=found)


def said(problems):
    return [f"{p.where}: {p.what}" for p in problems]


LEGAL = [
    # kube-apiserver: newest and oldest within one minor release
    hosts(["v1.32.0", "v1.31.9"]),
    # kubelet: three older, two for those before 1.25
    hosts(["v1.32.0"], ["v1.32.0", "v1.31.0", "v1.30.0", "v1.29.0"]),
    hosts(["v1.32.0", "v1.31.0"], ["v1.31.0", "v1.30.0", "v1.29.0"]),
    hosts(["v1.26.0"], ["v1.24.0"]),
    hosts(["v1.28.0"], ["v1.25.0"]),
    # kube-controller-manager and kube-scheduler: one older
    hosts(["v1.32.0"], kube_scheduler="v1.31.0"),
    hosts(["v1.32.0", "v1.31.0"], kube_controller_manager="v1.31.0", kube_scheduler="v1.31.0"),
    # each beside its own host's API server
    hosts(["v1.32.0", "v1.31.0"]),
    # patch releases do not count, but for a kubelet that would be the newer one
    hosts(["v1.20.3"], ["v1.20.2"]),
    hosts(["v1.20.2"], kube_scheduler="v1.20.3"),
    Installed(hosts={}),
]


@pytest.mark.parametrize("then", LEGAL)
def test_what_the_policy_allows_is_allowed(then):
    assert refusals(then, then) == ()


ILLEGAL = [
    (
        hosts(["v1.32.0", "v1.30.0"]),
        "c2: API servers would be v1.30.0 and v1.32.0, more than one minor release apart",
    ),
    (
        hosts(["v1.32.0"], ["v1.33.0"]),
        "n1: kubelet v1.33.0 would be newer than the API server v1.32.0",
    ),
    (
        hosts(["v1.32.0", "v1.31.0"], ["v1.32.0"]),
        "n1: kubelet v1.32.0 would be newer than the API server v1.31.0",
    ),
    (
        hosts(["v1.32.0"], ["v1.28.0"]),
        "n1: kubelet v1.28.0 would be more than 3 minor releases older than the API server v1.32.0",
    ),
    (
        hosts(["v1.27.0"], ["v1.24.0"]),
        "n1: kubelet v1.24.0 would be more than 2 minor releases older than the API server v1.27.0",
    ),
    (
        hosts(["v1.32.0"], kube_scheduler="v1.33.0"),
        "c1: kube-scheduler v1.33.0 would be newer than the API server v1.32.0",
    ),
    (
        hosts(["v1.32.0", "v1.31.0"], kube_controller_manager="v1.32.0"),
        "c2: kube-controller-manager v1.32.0 would be newer than the API server v1.31.0",
    ),
    (
        hosts(["v1.32.0"], kube_controller_manager="v1.30.0"),
        "c1: kube-controller-manager v1.30.0 would be more than one minor release older than "
        "the API server v1.32.0",
    ),
    (
        hosts(["v1.20.2"], ["v1.20.3"]),
        "n1: kubelet v1.20.3 would be newer than the API server v1.20.2",
    ),
]


@pytest.mark.parametrize(("then", "line"), ILLEGAL)
def test_what_the_policy_forbids_is_refused(then, line):
    assert line in said(refusals(Installed(hosts={}), then))


def test_a_skipped_minor_release_is_refused_with_the_legal_way():
    (problem,) = refusals(hosts(["v1.20.2"]), hosts(["v1.23.4"]))
    assert problem.what == "kube-apiserver v1.20.2 -> v1.23.4 skips a minor release"
    assert problem.advice.endswith("v1.20.2 -> v1.21.x -> v1.22.x -> v1.23.4")


def test_a_downgrade_is_refused_on_all_hosts_at_once():
    now, then = hosts(["v1.20.3"], ["v1.20.3"] * 2), hosts(["v1.20.2"], ["v1.20.2"] * 2)
    found = refusals(now, then)
    assert [(p.where, p.what.split(",")[0]) for p in found] == [
        ("c1", "kube-apiserver v1.20.3 -> v1.20.2 is a downgrade"),
        ("n1, n2", "kubelet v1.20.3 -> v1.20.2 is a downgrade"),
    ]
    assert found[0].advice == "name v1.20.3 or newer in the inventory"


def test_nodes_alone_do_not_overtake_the_api_server():
    now, then = hosts(["v1.20.2"], ["v1.20.2"]), hosts(["v1.20.2"], ["v1.21.0"])
    problems = refusals(now, then)
    assert [p.what.split()[0] for p in problems] == ["kubelet", "kube-proxy"]
    assert "without --limit" in problems[0].advice


def test_a_node_that_stays_behind_is_upgraded_first():
    now = hosts(["v1.22.0"], ["v1.20.0", "v1.22.0"])
    then = hosts(["v1.23.0"], ["v1.20.0", "v1.23.0"])
    problems = refusals(now, then)
    assert {p.where for p in problems} == {"n1"}
    assert "v1.21.x -> v1.22.x -> v1.23.0" in problems[0].advice


@pytest.mark.parametrize(
    ("program", "before", "after", "advice"),
    [
        ("etcd", "3.3.25", "3.5.21", "3.3.25 -> 3.4.x -> 3.5.21"),
        ("containerd", "1.6.20~ds1-1+deb12u1", "2.0.1", "1.6.20~ds1-1+deb12u1 -> 1.7.x -> 2.0.1"),
        ("etcd", "3.4.23", "3.4.22", "name 3.4.23 or newer in the inventory"),
        ("containerd", "1.6.20~ds1-1", "1.6.18", "name 1.6.20~ds1-1 or newer in the inventory"),
    ],
)
def test_etcd_and_containerd_go_one_minor_release_after_the_other(program, before, after, advice):
    now, then = (Installed(hosts={"c1": {program: version}}) for version in (before, after))
    (problem,) = refusals(now, then)
    assert problem.advice.endswith(advice)


@pytest.mark.parametrize(
    ("program", "before", "after"),
    [
        ("etcd", "3.4.23", "3.5.0"),
        ("containerd", "1.7.24", "2.0.0"),
        ("containerd", "1.6.20~ds1-1+deb12u1", "1.6.21*"),
        ("kubelet", "v1.20.0", "v1.22.0"),
    ],
)
def test_next_releases_are_allowed(program, before, after):
    now, then = (Installed(hosts={"c1": {program: version}}) for version in (before, after))
    assert refusals(now, then) == ()


@given(st.integers(20, 40), st.integers(1, 9), st.integers(0, 30))
def test_every_step_of_the_legal_way_is_itself_legal(first, steps, patch):
    before, after = f"v1.{first}.9", f"v1.{first + steps}.{patch}"
    way = [before, *(step.replace("x", "0") for step in sequence("kubelet", before, after))]
    assert way[-1] == after
    for one, other in zip(way, way[1:], strict=False):
        assert refusals(hosts([one]), hosts([other])) == ()


def test_numbers_of_versions_and_packages():
    assert numbers("v1.20.2") == (1, 20, 2)
    assert numbers("1.6.20~ds1-1+deb12u1") == (1, 6, 20)
    assert numbers("1:3.4-2") == (3, 4, 0)
    with pytest.raises(ValueError, match="no version"):
        numbers("auto")
