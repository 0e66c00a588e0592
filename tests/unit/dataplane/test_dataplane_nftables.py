"""The rendered table says what the admission says: it is evaluated here as the kernel would."""

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romana.dataplane import Renderer, Settings, render
from romana.dataplane.programs import merged_ranges, program_sets
from romana.policy.admission import (
    ANY_PROTOCOL,
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
PORTS = (0, 1, 79, 80, 81, 443, 65535)
PROTOCOLS = (1, 6, 17, 132)
BASE = {4: int(ip_address("10.0.0.0")), 6: int(ip_address("fd00::"))}


def number(text):
    try:
        return int(ip_address(text))
    except ValueError:
        return int(text)


def holds(element, values):
    """Whether an element of a set matches the values of a packet."""
    for part, value in zip(element.split(" . "), values, strict=True):
        low, _, high = part.partition("-")
        if not number(low) <= value <= number(high or low):
            return False
    return True


def verdict(ruleset, chain, family, peer, protocol, port):
    """What a program's chain says of a packet."""
    header = {4: "ip", 6: "ip6"}[family]
    fields = {"meta l4proto": protocol, "th dport": port}
    for rule in ruleset.chains[chain].rules:
        rule = rule.replace("counter ", "")
        found = re.fullmatch(r"(ip6?) [sd]addr((?: \. [a-z0-9 ]+)*) @(\S+) (accept|return)", rule)
        if found is None:
            return rule
        if found[1] != header:
            continue
        values = [peer, *(fields[each] for each in filter(None, found[2].split(" . ")))]
        if any(holds(element, values) for element in ruleset.sets[found[3]].elements):
            return found[4]
    raise AssertionError("a program without an end")


@st.composite
def grants(draw):
    """Grants of one family, one slice of addresses and one of ports each; and one for everybody,
    which those of hosts may overlap."""
    found = []
    if draw(st.booleans()):
        found.append(Grant(4, 0, 2**32 - 1, 6, 80, 81))
    for family in (4, 6):
        for at in draw(st.sets(st.integers(0, 7), max_size=5)):
            low = BASE[family] + at * 4 + draw(st.integers(0, 3))
            high = draw(st.integers(low, BASE[family] + at * 4 + 3))
            if draw(st.booleans()):
                found.append(Grant(family, low, high, ANY_PROTOCOL, 0, 65535))
                continue
            for protocol in draw(st.sets(st.sampled_from(PROTOCOLS))):
                ports = sorted(draw(st.sets(st.sampled_from(PORTS), min_size=1, max_size=2)))
                found.append(Grant(family, low, high, protocol, ports[0], ports[-1]))
    return frozenset(found)


def one(program):
    endpoint = Endpoint(
        interface="rom0", addresses=(ip_address("10.112.0.5"),), pod=("test", "pod")
    )
    ingress = program.direction is INGRESS
    programs = EndpointPrograms(
        endpoint=endpoint,
        ingress=program.name if ingress else None,
        egress=None if ingress else program.name,
    )
    return Admission(endpoints={"rom0": programs}, programs={program.name: program})


def program(*grants, direction=INGRESS):
    return Program(
        name="p", direction=direction, policies=(("test", "p"),), grants=frozenset(grants)
    )


@settings(deadline=None)
@given(
    grants(),
    st.sampled_from([INGRESS, EGRESS]),
    st.sampled_from([4, 6]),
    st.integers(0, 31),
    st.sampled_from(PROTOCOLS),
    st.sampled_from(PORTS),
)
def test_a_program_says_what_its_grants_say(granted, direction, family, offset, protocol, port):
    ruleset = render(one(program(*granted, direction=direction)), Settings())
    peer = BASE[family] + offset
    admitted = any(
        each.family == family
        and each.low <= peer <= each.high
        and each.protocol in (ANY_PROTOCOL, protocol)
        and each.port_low <= port <= each.port_high
        for each in granted
    )
    said = verdict(
        ruleset, "in-p" if direction is INGRESS else "eg-p", family, peer, protocol, port
    )
    if direction is INGRESS:
        assert said == ("accept" if admitted else "goto deny-ingress")
    else:
        assert said == ("return" if admitted else "goto deny-egress")


@settings(deadline=None)
@given(grants())
def test_every_grant_is_one_element_and_a_packet_costs_five_lookups(granted):
    ruleset = render(one(program(*granted)), Settings())
    own = {name: each for name, each in ruleset.sets.items() if name.startswith("in-p-")}
    assert sum(len(each.elements) for each in own.values()) == len(granted)
    assert all(each.elements for each in own.values())
    for header in ("ip ", "ip6 "):
        rules = [each for each in ruleset.chains["in-p"].rules if each.startswith(header)]
        assert len(rules) <= 5


@pytest.mark.parametrize(
    ("low", "high", "protocol", "ports", "kind", "element"),
    [
        ("10.0.0.1", "10.0.0.1", 0, (0, 65535), "hosts4", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.9", 0, (0, 65535), "networks4", "10.0.0.1-10.0.0.9 . 0-255"),
        ("10.0.0.1", "10.0.0.1", 6, (0, 65535), "networks4", "10.0.0.1 . 6"),
        ("10.0.0.1", "10.0.0.1", 6, (80, 80), "host-ports4", "10.0.0.1 . 6 . 80"),
        ("10.0.0.1", "10.0.0.1", 6, (80, 81), "host-ranges4", "10.0.0.1 . 6 . 80-81"),
        (
            "0.0.0.0",
            "255.255.255.255",
            17,
            (53, 53),
            "network-ports4",
            "0.0.0.0-255.255.255.255 . 17 . 53",
        ),
        ("fd00::1", "fd00::1", 132, (9, 9), "host-ports6", "fd00::1 . 132 . 9"),
        (
            "::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            0,
            (0, 65535),
            "networks6",
            "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff . 0-255",
        ),
    ],
)
def test_the_set_a_grant_belongs_to(low, high, protocol, ports, kind, element):
    ends = ip_address(low), ip_address(high)
    grant = Grant(ends[0].version, int(ends[0]), int(ends[1]), protocol, *ports)
    (found,) = program_sets(program(grant)).items()
    assert found[0] == f"in-p-{kind}"
    assert found[1].elements == {element}
    assert found[1].interval == ("network" in kind or "ranges" in kind)


def test_endpoints_are_dispatched_by_interface_and_address():
    addresses = (ip_address("10.112.0.5"), ip_address("fd00:112::5"))
    endpoints = {
        name: EndpointPrograms(
            endpoint=Endpoint(interface=name, addresses=addresses, pod=("test", name)),
            ingress=ingress,
            egress=egress,
        )
        for name, ingress, egress in (("rom1", None, None), ("rom2", "i", "e"))
    }
    programs = {
        "i": Program(name="i", direction=INGRESS, policies=(), grants=frozenset()),
        "e": Program(name="e", direction=EGRESS, policies=(), grants=frozenset()),
    }
    sets = render(Admission(endpoints=endpoints, programs=programs), Settings()).sets
    assert sets["ingress4"].elements == {
        '"rom1" . 10.112.0.5 : accept',
        '"rom2" . 10.112.0.5 : goto in-i',
    }
    assert sets["egress6"].elements == {
        '"rom1" . fd00:112::5 : return',
        '"rom2" . fd00:112::5 : goto eg-e',
    }
    assert sets["self4"].elements == {
        '"rom1" . 10.112.0.5 . 10.112.0.5',
        '"rom2" . 10.112.0.5 . 10.112.0.5',
    }


def test_programs_that_did_not_change_are_the_very_same_sets():
    renderer = Renderer(Settings())
    first = program(Grant(4, 1, 1, 6, 80, 80))
    before = renderer.render(one(first)).sets["in-p-host-ports4"]
    again = renderer.render(one(program(Grant(4, 1, 1, 6, 80, 80))))
    assert again.sets["in-p-host-ports4"] is before
    changed = renderer.render(one(program(Grant(4, 2, 2, 6, 80, 80))))
    assert changed.sets["in-p-host-ports4"].elements == {"0.0.0.2 . 6 . 80"}


def test_masquerade_leaves_out_what_is_reached_directly():
    networks = ["10.112.0.0/12", "198.18.0.11", "198.18.0.12", "10.112.0.0/16", "fd00::/48"]
    settings = Settings(
        pod_networks=(ip_network("10.112.0.0/12"),),
        direct_networks=tuple(map(ip_network, networks)),
    )
    sets = render(Admission(), settings).sets
    assert sets["pods4"].elements == {"10.112.0.0-10.127.255.255"}
    assert sets["direct4"].elements == {"10.112.0.0-10.127.255.255"}
    assert sets["direct-hosts4"].elements == {"198.18.0.11", "198.18.0.12"}
    assert not sets["direct-hosts4"].interval
    assert sets["direct6"].elements == {"fd00::-fd00::ffff:ffff:ffff:ffff:ffff"}
    four, six = render(Admission(), settings).chains["postrouting"].rules
    assert four.startswith("ip daddr != 10.112.0.0/12 ip saddr @pods4 ip daddr != @direct4")
    assert six.startswith("ip6 saddr @pods6")
    every = Settings(pod_networks=(ip_network("0.0.0.0/0"),))  # which nothing is away from
    assert render(Admission(), every).chains["postrouting"].rules[0].startswith("ip saddr @pods4")
    off = Settings(masquerade=False)
    assert render(Admission(), off).chains["postrouting"].rules == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9))))
def test_merged_ranges_are_disjoint_and_cover_the_same(spans):
    spans = [(low, low + length) for low, length in spans]
    covered = {number for low, high in spans for number in range(low, high + 1)}
    found = []
    for text in merged_ranges(4, spans):
        low, _, high = text.partition("-")
        found.append((int(ip_address(low)), int(ip_address(high or low))))
    assert {number for low, high in found for number in range(low, high + 1)} == covered
    assert all(before[1] + 1 < after[0] for before, after in zip(found, found[1:], strict=False))
