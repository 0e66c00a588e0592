"""Who reaches whom, and what a change does, against the reference evaluator asked pair by pair and
port by port."""

from ipaddress import ip_address, ip_network
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from romana.conformance.manifests import step_manifests
from romana.conformance.worlds import Shape, Worlds, snapshot, step_of
from romana.objects import IPBlock, NetworkPolicy, Pod, PolicyRule, PortMatch, Selector, Snapshot
from romana.policy.admission import Flow
from romana.policy.change import change
from romana.policy.evaluate import evaluate
from romana.policy.intervals import contains
from romana.policy.reach import reach
from romana.policy.space import ANYTHING, NOTHING, at, traffic
from romana.policy.words import region_text, traffic_text
from romana.policy.workloads import workload

crowded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TRAFFIC = [
    *((protocol, port) for protocol in (6, 17, 132) for port in (0, 78, 79, 80, 81, 82, 83)),
    (1, 0),
]
OUTSIDE = {
    4: [ip_address(each) for each in ("0.0.0.0", "192.0.2.1", "255.255.255.255")],
    6: [ip_address(each) for each in ("::", "2001:db8::1")],
}


def world(seed, family=4, steps=1):
    """The objects of a random cluster, step after step."""
    worlds = Worlds(Random(seed), Shape(pods=6, policies=6, family=family, changes=2))
    found, state = [], worlds.first()
    for _ in range(steps):
        found.append(snapshot(step_manifests(step_of(state, worlds.placement), worlds.placement)))
        state = worlds.after(state)
    return found


def verdict(objects, source, destination, protocol, port):
    flow = Flow(source=source, destination=destination, protocol=protocol, port=port)
    return evaluate(objects, flow)


def passing(objects, first, second):
    """What the reference lets pass between two pods."""
    return {
        (protocol, port)
        for protocol, port in TRAFFIC
        if verdict(objects, first.addresses[0], second.addresses[0], protocol, port).admitted
    }


def held(found):
    return {
        (protocol, port) for protocol, port in TRAFFIC if contains(found, protocol << 16 | port)
    }


@crowded
@given(st.integers(0, 2**32), st.sampled_from((4, 6)))
def test_every_pair_of_pods_reaches_what_the_reference_admits(seed, family):
    (objects,) = world(seed, family)
    found = reach(objects)
    place = {pod: index for index, group in enumerate(found.groups) for pod in group.pods}
    assert set(place) == set(objects.pods)
    for first in objects.pods.values():
        for second in objects.pods.values():
            if first is not second:
                traffic = found.between.get((place[first.key], place[second.key]), NOTHING)
                assert held(traffic) == passing(objects, first, second), (first, second)
    for pod in objects.pods.values():
        arriving = found.arriving[place[pod.key]][family]
        leaving = found.leaving[place[pod.key]][family]
        own = pod.addresses[0]
        for other in OUTSIDE[family]:
            for protocol, port in TRAFFIC:
                comes = verdict(objects, other, own, protocol, port).ingress.admitted
                goes = verdict(objects, own, other, protocol, port).egress.admitted
                number = protocol << 16 | port
                assert contains(at(arriving, int(other)), number) is comes
                assert contains(at(leaving, int(other)), number) is goes


@crowded
@given(st.integers(0, 2**32))
def test_a_change_opens_and_cuts_what_the_reference_says(seed):
    old, changed = world(seed, steps=2)
    new = replace(old, policies=changed.policies, operator_policies=changed.operator_policies)
    found = change(old, new)
    opened, cut = {}, {}
    for each in found.pairs:
        for first in each.source.pods:
            for second in each.destination.pods:
                opened[first, second], cut[first, second] = held(each.opened), held(each.cut)
    for first in old.pods.values():
        for second in old.pods.values():
            if first is not second:
                before, after = passing(old, first, second), passing(new, first, second)
                pair = (first.key, second.key)
                assert opened.get(pair, set()) == after - before, pair
                assert cut.get(pair, set()) == before - after, pair
    assert bool(found) is found.as_json()["changed"]


@crowded
@given(st.integers(0, 2**32))
def test_no_change_is_none(seed):
    (objects,) = world(seed)
    assert not change(objects, objects)


def pod(name, address, **labels):
    return Pod("shop", name, addresses=(ip_address(address),), labels=labels)


def test_pods_of_one_workload_are_one_group_until_a_policy_tells_them_apart():
    pods = [
        pod("web-5d4f-abcde", "10.0.0.1", **{"pod-template-hash": "5d4f"}),
        pod("web-5d4f-fghij", "10.0.0.2", **{"pod-template-hash": "5d4f"}),
    ]
    objects = Snapshot(pods={each.key: each for each in pods})
    (group,) = reach(objects).groups
    assert (group.name, group.pods) == ("shop/web", (pods[0].key, pods[1].key))
    assert reach(objects).between == {(0, 0): ANYTHING}
    block = IPBlock(ip_network("10.0.0.1/32"))
    policy = NetworkPolicy("shop", "one", pods=Selector(), ingress=(PolicyRule((block,)),))
    apart = reach(replace(objects, policies={policy.key: policy}))
    assert [each.name for each in apart.groups] == ["shop/web-5d4f-abcde", "shop/web-5d4f-fghij"]
    assert apart.between == {(0, 1): ANYTHING}


def test_workloads_are_told_by_what_controllers_leave():
    for name, labels, expected in (
        ("web-5d4f8c7b9-abcde", {"pod-template-hash": "5d4f8c7b9"}, "web"),
        ("db-0", {"apps.kubernetes.io/pod-index": "0"}, "db"),
        ("agent-x2x4z", {"controller-revision-hash": "77"}, "agent"),
        ("nightly-28-abcde", {"job-name": "nightly-28"}, "nightly-28"),
        ("api-blue", {"app": "api"}, "api"),
        ("prometheus", {"app": "prom"}, "prometheus"),
        ("alone", {}, "alone"),
    ):
        assert workload(pod(name, "10.0.0.1", **labels)) == ("shop", expected)


def test_traffic_and_addresses_in_words():
    web = traffic((6, 6), (80, 80))
    assert traffic_text(ANYTHING) == "all"
    assert traffic_text(NOTHING) == "none"
    assert traffic_text((*web, *traffic((6, 6), (443, 445)), *traffic((17, 17)))) == (
        "TCP 80 443-445, UDP"
    )
    assert traffic_text(((0, (6 << 16) + 79), ((6 << 16) + 81, ANYTHING[0][1]))) == "all but TCP 80"
    last = 2**32 - 1
    assert region_text(((0, last, web),), 4) == [("anywhere (IPv4)", "TCP 80")]
    ten = (int(ip_address("10.0.0.0")), int(ip_address("10.255.255.255")))
    around = ((0, ten[0] - 1, web), (ten[1] + 1, last, web))
    assert region_text(around, 4) == [("anywhere (IPv4) but 10.0.0.0/8", "TCP 80")]
    assert region_text(((*ten, web),), 4) == [("10.0.0.0/8", "TCP 80")]
    assert region_text(((ten[0], ten[0], web),), 4) == [("10.0.0.0", "TCP 80")]


def test_what_is_outside_is_named_in_a_change():
    one = pod("db", "10.0.0.1")
    old = Snapshot(pods={one.key: one})
    rule = PolicyRule((IPBlock(ip_network("192.0.2.0/24")),), (PortMatch(port=5432),))
    policy = NetworkPolicy("shop", "guard", ingress=(rule,))
    found = change(old, replace(old, policies={policy.key: policy})).as_json()
    assert found["opened"] == []
    assert {(row["source"], row["traffic"]) for row in found["cut"]} == {
        ("0.0.0.0-192.0.1.255", "all"),
        ("192.0.2.0/24", "all but TCP 5432"),
        ("192.0.3.0-255.255.255.255", "all"),
    }
