"""Changes in the kernel, on every backend: differences, replacement, and what passes meanwhile."""

import asyncio
import random
import socket
import threading
from ipaddress import ip_address, ip_network

import pytest

from romana.dataplane import Settings
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

BACKENDS = ("nftables", "nft", "legacy")
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
A, B = "10.112.0.5", "10.112.0.6"
CIDRS = ("10.0.0.0/9", "10.128.0.0/9", "fd00::/16", "198.18.0.1")


def random_grants(chance):
    """Disjoint grants: each within a slice of its own of the addresses."""
    for family, base, step in ((4, int(ip_address("10.0.0.0")), 8), (6, 0xFD << 120, 1 << 20)):
        for at in range(chance.randrange(12)):
            low = base + at * step + chance.randrange(step // 2)
            high = low + chance.choice((0, 0, 1, step // 2 - 1))
            protocol = chance.choice((0, 6, 17, 132))
            first = chance.randrange(1, 65000) if protocol and chance.random() < 0.7 else 0
            last = first + chance.choice((0, 0, 10)) if first else 65535
            yield Grant(family, low, high, protocol, first, last)


def random_admission(chance):
    programs = {
        f"p{number}": Program(
            name=f"p{number}",
            direction=chance.choice((INGRESS, EGRESS)),
            policies=(("test", str(number)),),
            grants=frozenset(random_grants(chance)),
        )
        for number in chance.sample(range(6), chance.randrange(6))
    }
    into = [None, *(name for name, each in programs.items() if each.direction is INGRESS)]
    out = [None, *(name for name, each in programs.items() if each.direction is EGRESS)]
    endpoints = {}
    for number in chance.sample(range(8), chance.randrange(8)):
        addresses = (ip_address(f"10.112.0.{number}"), ip_address(f"fd00:112::{number}"))
        endpoint = Endpoint(
            interface=f"rom{number:012x}",
            addresses=addresses[: chance.choice((1, 2))],
            pod=("test", str(number)),
        )
        endpoints[endpoint.interface] = EndpointPrograms(
            endpoint=endpoint, ingress=chance.choice(into), egress=chance.choice(out)
        )
    return Admission(endpoints=endpoints, programs=programs)


def random_settings(chance):
    networks = [ip_network(each) for each in CIDRS]
    chosen = tuple(chance.sample(networks, 2)), tuple(chance.sample(networks, 2))
    return Settings(
        pod_networks=chosen[0], direct_networks=chosen[1], masquerade=chance.random() < 0.8
    )


def test_a_difference_leads_where_a_replacement_leads(host):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    renderer = host.renderer
    renderer.settings = random_settings(chance)
    changed, replaced = host.fresh(), host.fresh()
    other = host.lab.namespace("other")
    for _ in range(40):
        if chance.random() < 0.2:
            renderer.settings = random_settings(chance)
        ruleset = renderer.render(random_admission(chance))
        host.do(changed.apply(ruleset))
        other.inside(lambda wanted=ruleset: asyncio.run(replaced.replace(wanted)))
        assert host.do(changed.drift(ruleset)) == ()
        expected = other.inside(lambda: asyncio.run(replaced.read_back()))
        assert host.do(changed.read_back()) == expected


def test_differences_are_taken_not_replacements(host, monkeypatch):
    """The random walk above must not pass by falling back to replacement."""
    chance = random.Random(1)
    renderer, backend = host.renderer, host.fresh()
    renderer.settings = Settings()
    host.do(backend.apply(renderer.render(random_admission(chance))))
    fallen = []
    monkeypatch.setattr(backend, "_replace", fallen.append)
    for _ in range(20):
        host.do(backend.apply(renderer.render(random_admission(chance))))
    assert fallen == []


def test_an_established_connection_survives_a_replacement(host, responder):
    a, b = host.pod("a", A), host.pod("b", B)
    responder.tcp(b, 80)
    admit = host.program("in", INGRESS, host.grant(f"{A}/32", 6, 80))
    host.isolate("b", ingress=admit)
    host.enforce()
    with a.connect(B, 80) as link:
        assert link.recv(100)
        stop, answers = threading.Event(), []

        def talk():
            while not stop.is_set():
                link.sendall(b"x")
                answers.append(link.recv(1))

        talker = threading.Thread(target=talk)
        talker.start()
        for _ in range(20):
            host.do(host.fresh().apply(host.ruleset))
        stop.set()
        talker.join()
        assert len(answers) > 20
        assert set(answers) == {b"x"}


def test_a_denied_connection_is_denied_throughout_replacements(host):
    a, b = host.pod("a", A), host.pod("b", B)
    host.isolate("b", ingress=host.program("in", INGRESS))
    host.enforce()
    stop, sent = threading.Event(), []
    listener = b.open(socket.AF_INET, socket.SOCK_DGRAM)
    sender = a.open(socket.AF_INET, socket.SOCK_DGRAM)
    with listener, sender:
        listener.bind((B, 53))
        listener.settimeout(0.2)

        def flood():
            while not stop.is_set():
                sent.append(sender.sendto(b"x", (B, 53)))

        flooder = threading.Thread(target=flood)
        flooder.start()
        for _ in range(20):
            host.do(host.fresh().apply(host.ruleset))
        stop.set()
        flooder.join()
        assert len(sent) > 100
        with pytest.raises(TimeoutError):
            listener.recv(10)
        sender.sendto(b"x", (B, 53))
        assert host.dropped()["denied-ingress"] > 0


def test_a_change_that_meets_drift_is_made_all_the_same(host):
    host.pod("a", A)
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant(f"{B}/32")))
    host.enforce()
    host.damage_set("p")
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant("10.1.0.1/32")))
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_a_backend_of_the_past_is_taken_over(host, responder):
    """An agent that starts finds the rules of the one before, and replaces them at once."""
    a, b = host.pod("a", A), host.pod("b", B)
    responder.tcp(b, 80)
    host.isolate("b", ingress=host.program("in", INGRESS))
    host.enforce()
    host.backend = host.fresh()
    host.isolate("b", ingress=host.program("in", INGRESS, host.grant(f"{A}/32", 6, 80)))
    host.enforce()
    with a.connect(B, 80) as link:
        assert link.recv(100)
    assert host.do(host.backend.drift(host.ruleset)) == ()
    host.do(host.backend.remove())
    assert host.do(host.backend.read_back()) is None
    host.do(host.backend.remove())
