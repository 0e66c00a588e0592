"""Faults planted in the compiler, in the renderers and in the reference are found by a few random
clusters, and the cluster that shows one is small."""

from random import Random

import pytest
from agreement import READ, Disagreement, compare
from hypothesis import given, settings
from objects_by_chance import snapshots

from romana.conformance.manifests import step_manifests
from romana.conformance.worlds import Shape, Worlds, snapshot, step_of
from romana.dataplane import programs
from romana.dataplane.xtables import dispatch
from romana.dataplane.xtables import programs as xtables_programs
from romana.objects import IPBlock
from romana.policy import evaluate, grants, networks, traffic
from romana.policy.admission import Direction

CLUSTERS = 30

range_text, networks_of, texts_of = (
    programs.range_text,
    xtables_programs.networks,
    xtables_programs._texts,
)
leaf_of, rules_of, boxes_of = dispatch._leaf, programs._rules, networks._boxes
block_addresses, sum_of = networks.block_addresses, traffic.TrafficSums.total
is_port, isolates = evaluate._is_port, evaluate._isolates


def whole(block):
    """A block with what it excepts."""
    return block_addresses(IPBlock(block.cidr, ()))


def wider(parts, removed):
    """One more port at the end of each range."""
    for interval, (low, high) in boxes_of(parts, removed):
        yield interval, (low, min(high + 1, 65535))


def without_ranges(program, sets):
    """A program that does not look up one of its sets."""
    return (each for each in rules_of(program, sets) if "-host-ranges" not in each)


def all_but_last(grant, *, ports):
    """The elements of a grant without those of its last port."""
    found = texts_of(grant, ports=ports)
    last = f":{grant.port_high}"
    if ports and grant.port_low < grant.port_high:
        return (each for each in found if not each.endswith(last))
    return found


def first_only(found):
    """The first of some."""
    return tuple(found)[:1]


def unjudged(direction, endpoint, address):
    """The rules of an address, whose ingress nobody judges."""
    for rule in leaf_of(direction, endpoint, address):
        judged = direction is Direction.INGRESS and " -g " in rule
        yield rule.partition(" -g ")[0] + " -j ACCEPT" if judged else rule


FAULTS = {
    "compiler: exceptions of a block are admitted": (grants, "block_addresses", whole),
    "compiler: a range of ports is one too long": (networks, "_boxes", wider),
    "compiler: of the rules for a peer one counts": (
        traffic.TrafficSums,
        "total",
        lambda self, parts: sum_of(self, sorted(parts)[:1]),
    ),
    "nftables: a range of addresses or ports is its lower end": (
        programs,
        "range_text",
        lambda low, high: low,
    ),
    "nftables: a set is not looked up": (programs, "_rules", without_ranges),
    "iptables: the last of some ports is left out": (xtables_programs, "_texts", all_but_last),
    "iptables: a range of addresses is its first network": (
        xtables_programs,
        "networks",
        lambda family, low, high: first_only(networks_of(family, low, high)),
    ),
    "iptables: what pods receive is not judged": (dispatch, "_leaf", unjudged),
    "reference: the end of a range of ports is not read": (
        evaluate,
        "_is_port",
        lambda objects, match, flow: (
            flow.port == match.port and match.protocol.number == flow.protocol
            if match.end_port
            else is_port(objects, match, flow)
        ),
    ),
    "reference: egress isolates nobody": (
        evaluate,
        "_isolates",
        lambda objects, policy, direction, pod: (
            direction is Direction.INGRESS and isolates(objects, policy, direction, pod)
        ),
    ),
}


def read_by(fault):
    """The backend that shows it; the one that costs no process where both do."""
    name = "nftables" if fault.startswith("nftables") else "iptables"
    return {name: READ[name]}


def cluster(number):
    """A cluster by chance, the same one each time."""
    worlds = Worlds(Random(number), Shape(policies=8))
    world = worlds.after(worlds.first())
    return snapshot(step_manifests(step_of(world, worlds.placement), worlds.placement))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(monkeypatch, fault):
    clusters = [cluster(number) for number in range(CLUSTERS)]
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(Disagreement) as raised:
        for each in clusters:
            compare(each, read_by(fault))
    print(raised.value)


def test_the_cluster_that_shows_a_fault_is_small(monkeypatch):
    tried, fault = [], "iptables: what pods receive is not judged"
    monkeypatch.setattr(*FAULTS[fault])

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(snapshots(fewest=2))
    def agree(found):
        tried.append(found)
        compare(found, read_by(fault))

    with pytest.raises(Disagreement):
        agree()
    smallest = tried[-1]  # shown last
    assert len(smallest.pods) == 2
    assert len(smallest.policies) + len(smallest.operator_policies) <= 1
