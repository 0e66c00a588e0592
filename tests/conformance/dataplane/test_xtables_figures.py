"""What the iptables backend costs: 50 programs of 2,000 grants each and 100 pods."""

import time
from ipaddress import ip_address

from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

BACKENDS = ("nftables", "nft", "legacy")
PROGRAMS, GRANTS, PODS = 50, 2000, 100
FIRST_S, CHANGE_S = 20.0, 1.0
"""Bounds for a busy machine; the figures themselves are printed."""


def program(number, *more):
    base = (10 << 24) + number * 5000
    grants = (Grant(4, base + at, base + at, 6, 80, 80) for at in range(GRANTS))
    name = f"{number:016x}"
    return Program(
        name=name, direction=Direction.INGRESS, policies=(), grants=frozenset((*grants, *more))
    )


def endpoint(number):
    address = ip_address(int(ip_address("10.112.0.0")) + number)
    made = Endpoint(interface=f"rom{number:012x}", addresses=(address,), pod=("t", str(number)))
    return EndpointPrograms(endpoint=made, ingress=f"{number % PROGRAMS:016x}")


def test_what_changes_cost(host, record_property):
    programs = {each.name: each for each in map(program, range(PROGRAMS))}
    endpoints = {each.endpoint.interface: each for each in map(endpoint, range(PODS))}
    more = program(3, Grant(4, 1, 1, 6, 443, 443))
    one_pod = endpoint(PODS)
    steps = {
        "from empty": Admission(endpoints=endpoints, programs=programs),
        "one element": Admission(endpoints=endpoints, programs={**programs, more.name: more}),
        "one pod more": Admission(
            endpoints={**endpoints, one_pod.endpoint.interface: one_pod},
            programs={**programs, more.name: more},
        ),
    }
    took = {}
    for name, admission in steps.items():
        began = time.perf_counter()
        wanted = host.renderer.render(admission)
        rendered = time.perf_counter()
        host.do(host.backend.apply(wanted))
        took[name] = time.perf_counter() - began
        record_property(f"{name}, to render", rendered - began)
        record_property(f"{name}, in all", took[name])
    began = time.perf_counter()
    host.do(host.backend.replace(wanted))
    record_property("replaced", time.perf_counter() - began)
    began = time.perf_counter()
    assert host.do(host.backend.drift(wanted)) == ()
    record_property("compared", time.perf_counter() - began)
    assert took.pop("from empty") < FIRST_S
    assert max(took.values()) < CHANGE_S
