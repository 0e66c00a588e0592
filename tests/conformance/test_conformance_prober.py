"""The prober tells silence from refusal, on hosts with rules of their own."""

from ipaddress import ip_address

import pytest

from romana.conformance.cases import Cell
from romana.conformance.prober import Prober
from romana.lab.namespaces import Lab
from romana.lab.probes import Outcome
from romana.objects import Protocol

TCP, UDP, SCTP = Protocol
OPEN = [(protocol, port) for protocol in Protocol for port in (80, 81)]
CHAIN = "table inet t { chain c { type filter hook %s priority 0; %s }; }"


@pytest.fixture(scope="module")
def pods():
    with Lab("rt-cf-prober") as lab:
        yield {
            f"n/{name}": (lab.host(name, f"198.18.0.{number}"), ip_address(f"198.18.0.{number}"))
            for number, name in enumerate("abc", start=11)
        }


@pytest.fixture
def prober(pods):
    with Prober() as made:
        for title, (namespace, address) in pods.items():
            namespace.run("nft", "flush", "ruleset")
            made.add(title, namespace, address)
        yield made


def cells(*pairs, ports=OPEN):
    return [Cell(f"n/{a}", f"n/{b}", protocol, port) for a, b in pairs for protocol, port in ports]


def test_what_nobody_hinders_connects_again_and_again(prober):
    everything = cells(*((a, b) for a in "abc" for b in "abc" if a != b))
    for _ in range(3):
        assert set(prober.probe(everything, everything).values()) == {Outcome.CONNECTED}


def test_a_port_that_is_asked_for_is_served(prober):
    asked = cells(("a", "b"), ports=[(protocol, 4789) for protocol in Protocol])
    assert set(prober.probe(asked, asked).values()) == {Outcome.CONNECTED}


@pytest.mark.parametrize(
    ("hook", "rules", "outcomes"),
    [
        ("input", "meta l4proto { tcp, udp, sctp } th dport 80 drop;", [Outcome.TIMED_OUT] * 3),
        ("input", "meta l4proto { tcp, udp, sctp } th sport 80 drop;", [Outcome.CONNECTED] * 3),
        ("output", "meta l4proto { tcp, udp, sctp } th sport 80 drop;", [Outcome.TIMED_OUT] * 3),
        ("input", "meta l4proto { tcp, udp, sctp } th dport 80 reject;", [Outcome.REFUSED] * 3),
        (
            "input",
            "tcp dport 80 reject with tcp reset;",
            [Outcome.REFUSED, *[Outcome.CONNECTED] * 2],
        ),
    ],
)
def test_silence_is_not_refusal(pods, prober, hook, rules, outcomes):
    pods["n/b"][0].run("nft", "-f", "-", stdin=CHAIN % (hook, rules))
    found = prober.probe(cells(("a", "b"), ("c", "b")))
    for source in "ac":
        got = [found[cell] for cell in cells((source, "b"), ports=[(p, 80) for p in Protocol])]
        assert got == outcomes
        others = cells((source, "b"), ports=[(p, 81) for p in Protocol])
        assert {found[cell] for cell in others} == {Outcome.CONNECTED}


def test_every_attempt_is_new_to_connection_tracking(pods, prober):
    """Else what was admitted a moment ago would still be."""
    both = cells(("a", "b"))
    assert set(prober.probe(both, both).values()) == {Outcome.CONNECTED}
    rules = "ct state established,related accept; drop;"
    pods["n/b"][0].run("nft", "-f", "-", stdin=CHAIN % ("input", rules))
    assert set(prober.probe(both).values()) == {Outcome.TIMED_OUT}


def test_a_pod_that_goes_frees_its_ports(pods, prober):
    prober.probe(cells(("a", "b")))
    prober.remove("n/b")
    prober.remove("n/b")
    prober.add("n/b", *pods["n/b"])
    assert set(prober.probe(cells(("a", "b"))).values()) == {Outcome.CONNECTED}
