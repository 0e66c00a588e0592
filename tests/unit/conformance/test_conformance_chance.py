"""A hundred thousand flows by chance: the reference and the compiled form agree on every one.

The worlds are those of `romana conformance --random`, so a seed that fails here can be run against
a kernel. The first test takes the same seeds each time and counts; the second lets hypothesis look
for a failure, and shrink it.
"""

from ipaddress import ip_address
from itertools import product
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from romana.conformance.cases import SERVED
from romana.conformance.manifests import step_manifests
from romana.conformance.worlds import Shape, Worlds, judged, random_case, snapshot, step_of
from romana.policy.admission import Endpoint, Flow
from romana.policy.compile import compile_admission
from romana.policy.evaluate import evaluate
from romana.policy.judge import Judge

FLOWS = 100_000
OUTSIDE = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
TRAFFIC = [(protocol, port) for protocol in (6, 17, 132) for port in (79, 80, 82, 83)]
TRAFFIC.append((1, 0))


def judges(objects, placement):
    """What each host has compiled."""
    pods = tuple(objects.pods.values())
    by_host = {}
    for host in set(placement.blocks.values()):
        own = [
            Endpoint(interface=f"rom-{pod.name}", addresses=pod.addresses, pod=pod.key)
            for pod in pods
            if pod.node == host
        ]
        by_host[host] = Judge(compile_admission(objects, own))
    return by_host


def disagreements(worlds, world):
    """Flows of a world, each with whether the two differ on it."""
    placement = worlds.placement
    objects = snapshot(step_manifests(step_of(world, placement), placement))
    compiled = judges(objects, placement)
    addresses = [pod.address for pod in world.pods]
    outside = OUTSIDE[addresses[0].version]
    for source, destination in product((*addresses, outside), repeat=2):
        for protocol, port in TRAFFIC:
            flow = Flow(source=source, destination=destination, protocol=protocol, port=port)
            wanted = evaluate(objects, flow)
            here = placement.host(addresses[0] if source is outside else source)
            there = placement.host(addresses[0] if destination is outside else destination)
            egress = compiled[here].verdict(flow).egress
            ingress = compiled[there].verdict(flow).ingress
            found = (egress.outcome, ingress.outcome)
            yield flow, found != (wanted.egress.outcome, wanted.ingress.outcome)


def test_reference_and_compiled_form_agree_on_a_hundred_thousand_flows():
    counted, denied, seed = 0, 0, 0
    while counted < FLOWS:
        shape = Shape(family=4 if seed % 2 else 6, hosts=1 + seed % 3)
        worlds = Worlds(Random(seed), shape)
        world = worlds.first()
        for step in range(1, 6):
            wrong = [flow for flow, differs in disagreements(worlds, world) if differs]
            again = f"romana conformance --random --seed {seed} --steps {step}"
            assert not wrong, f"{wrong[0]} and {len(wrong) - 1} more: {again}"
            counted += (len(world.pods) + 1) ** 2 * len(TRAFFIC)
            denied += len(step_of(world, worlds.placement).blocked)
            world = worlds.after(world)
        seed += 1
    assert denied > FLOWS / 20  # worlds in which all is open would prove nothing


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.sampled_from((4, 6)))
def test_no_world_can_be_found_on_which_they_differ(random, family):
    worlds = Worlds(random, Shape(pods=4, policies=3, family=family))
    world = worlds.after(worlds.first())
    assert not [flow for flow, differs in disagreements(worlds, world) if differs]


def test_a_seed_makes_the_same_case_and_more_steps_only_continue_it():
    long, short = random_case(5, 4, Shape()), random_case(5, 2, Shape())
    assert long.steps[:2] == short.steps
    assert random_case(6, 2, Shape()).steps != short.steps


def test_cells_and_what_must_hold_in_them_fit_together():
    step = random_case(3, 1, Shape()).steps[0]
    worlds = Worlds(Random(3), Shape())
    assert step.cells == len(step.pods) ** 2 * len(SERVED)
    objects = snapshot(step_manifests(step, worlds.placement))
    verdicts = judged(objects, step.pods)
    assert {cell for cell, sides in verdicts.items() if not sides.admitted} == set(step.blocked)
