"""What the rules of iptables say of packets, by an interpreter of them, against the admissions that
they were rendered from."""

import random
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xtables_kernel import (
    BASE,
    EGRESS,
    INGRESS,
    Packet,
    expected,
    loaded,
    random_admission,
    random_packet,
)

from romana.dataplane.nftables import Settings
from romana.dataplane.xtables.tables import render
from romana.policy.admission import Admission, Direction, Endpoint, EndpointPrograms, Grant, Program

MOST_RULES = 40


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_the_rules_say_what_the_admission_says(seed):
    chance = random.Random(seed)
    admission = random_admission(chance)
    kernel, _, _ = loaded(render(admission, Settings()))
    for _ in range(60):
        packet = random_packet(chance, admission)
        assert kernel.verdict(packet)[0] == expected(admission, packet), packet


@pytest.mark.parametrize("spread", ["dense", "random"])
@pytest.mark.parametrize("family", [4, 6])
def test_how_many_rules_a_packet_meets(family, spread):
    """110 pods, each with programs of its own, of all kinds of sets."""
    chance = random.Random(5)
    offsets = range(110) if spread == "dense" else chance.sample(range(2**13), 110)
    shapes = ((0, 0, 65535), (6, 0, 65535), (17, 0, 65535), (6, 80, 80), (17, 1000, 2000))
    top = BASE[family] + 2**16
    grants = frozenset(
        Grant(family, low, high, *shape)
        for shape in shapes
        for low, high in ((1, 1), (top, top + 2**16))
    )
    programs, endpoints = {}, {}
    for at, offset in enumerate(offsets):
        address = ip_address(BASE[family] + offset)
        own = {each: f"{at:015x}{each.value[0]}" for each in Direction}
        programs |= {
            name: Program(name=name, direction=each, policies=(), grants=grants)
            for each, name in own.items()
        }
        endpoint = Endpoint(interface=f"rom{at:012x}", addresses=(address,), pod=("t", str(at)))
        endpoints[endpoint.interface] = EndpointPrograms(
            endpoint=endpoint, ingress=own[INGRESS], egress=own[EGRESS]
        )
    admission = Admission(endpoints=endpoints, programs=programs)
    kernel, _, _ = loaded(render(admission, Settings()))
    outside = str(ip_address(top + 77))
    met = []
    for each in endpoints.values():
        address = str(each.endpoint.addresses[0])
        for packet in (
            Packet(iif=each.endpoint.interface, src=address, dst=outside, protocol=17, port=3000),
            Packet(oif=each.endpoint.interface, dst=address, src=outside, protocol=132, port=3000),
        ):
            verdict, rules = kernel.verdict(packet)
            assert verdict == expected(admission, packet)
            met.append(rules)
    print("rules met: most", max(met), "mean", sum(met) / len(met))
    assert max(met) <= MOST_RULES
    spoofed = Packet(iif="rom000000000001", src=outside, dst=outside)
    assert kernel.verdict(spoofed)[0] == "DROP"
    known = Packet(iif="rom000000000001", src=outside, dst=outside, state="ESTABLISHED")
    assert kernel.verdict(known) == ("ACCEPT", 2)


def test_many_ranges_of_ports_are_found_by_a_tree():
    chance = random.Random(7)
    grants = set()
    for at in range(100):
        low = chance.randrange(1, 60000)
        grants.add(Grant(4, at + 5, at + 5, 6, low, low + chance.randrange(10, 5000)))
    program = Program(name="p", direction=INGRESS, policies=(), grants=frozenset(grants))
    address = ip_address("10.112.0.5")
    endpoint = Endpoint(interface="rom1", addresses=(address,), pod=("t", "t"))
    admission = Admission(
        endpoints={"rom1": EndpointPrograms(endpoint=endpoint, ingress="p")},
        programs={"p": program},
    )
    kernel, _, _ = loaded(render(admission, Settings()))
    for _ in range(500):
        each = chance.choice(sorted(grants))
        port = max(0, min(65535, each.port_low + chance.randrange(-2000, 6000)))
        packet = Packet(oif="rom1", src=str(ip_address(each.low)), dst=str(address), port=port)
        verdict, met = kernel.verdict(packet)
        assert verdict == expected(admission, packet)
        assert met <= MOST_RULES
