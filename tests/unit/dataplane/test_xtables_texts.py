"""What is written for iptables and ipset, down to the versions of Ubuntu 14.04, and what is read
of what they print."""

import random
import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xtables_kernel import loaded, random_admission

from romana.dataplane.denials import DenialLog
from romana.dataplane.errors import RulesetError
from romana.dataplane.nftables import Settings
from romana.dataplane.xtables.change import Found, difference, replacement
from romana.dataplane.xtables.denials import denied_packets
from romana.dataplane.xtables.listing import compare, listing, parse_counters, parse_save
from romana.dataplane.xtables.programs import program_tables
from romana.dataplane.xtables.sets import (
    IpSet,
    SetKey,
    networks,
    parse_held,
    parse_sets,
    set_code,
    set_name,
    set_serial,
)
from romana.dataplane.xtables.tables import MANGLE, NAT, Renderer, render
from romana.dataplane.xtables.variant import Variant, parse_version
from romana.policy.admission import Direction, Grant, Program

NETWORKS = tuple(map(ip_network, ("10.112.0.0/12", "fd00:112::/48", "0.0.0.0/0", "198.18.0.1")))
SETTINGS = Settings(
    pod_networks=NETWORKS[:2], direct_networks=NETWORKS[2:], denial_log=DenialLog(group=7)
)

ADDRESS = r"[0-9a-f.:]+/\d+"
CHAIN = r"[A-Z][A-Za-z0-9._/:-]{0,27}"
SET = r"ROMANA-[a-zA-Z0-9._-]{1,24}"
NFLOG = r"NFLOG --nflog-prefix [a-z-]{1,63} --nflog-group \d+"
TARGET = rf"-(?:j (?:ACCEPT|DROP|RETURN|MASQUERADE --random|{NFLOG}|{CHAIN})|g {CHAIN})"
PROTOCOL = r"-p (?:tcp|udp|sctp|ipv6-icmp|\d+)"
MATCHES = (
    rf"(?:! )?-[sd] {ADDRESS}",
    r"-[io] (?:rom\+|rom[0-9a-f]{12})",
    PROTOCOL,
    r"-m conntrack --ctstate (?:RELATED,ESTABLISHED|INVALID)",
    r"-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN",
    r"-m icmp6 --icmpv6-type \d+",
    r"-m multiport --dports \d+(?::\d+)?",
    rf"-m set (?:! )?--match-set {SET} (?:src|dst)(?:,dst)?",
    rf"-m set --match-set {SET} (?:src,src|dst,dst)",
    r"-m limit --limit \d+/sec --limit-burst \d+",
)
COUNTING = rf"-m set --match-set {SET} (?:src,src|dst,dst)"
RULE = re.compile(rf"(?:(?:{'|'.join(MATCHES)}) )*{TARGET}|{COUNTING}")
"""All that iptables 1.4.21 is asked to understand. Its manual page has each of these."""
RESTORE = re.compile(
    rf"\*(?:mangle|nat)|COMMIT|:{CHAIN} - \[0:0\]|-X {CHAIN}"
    rf"|-(?:A {CHAIN}|D {CHAIN}|I {CHAIN} 1) (?P<rule>.*)"
)
PORT = r"(?:tcp|udp|sctp):\d+"
IPSET = re.compile(
    rf"create {SET} hash:(?:ip|net)(?:,port|,iface)? family inet6? hashsize \d+ maxelem \d+"
    rf"(?: counters)?|destroy {SET}"
    rf"|(?:add|del) {SET} [0-9a-f.:]+(?:/\d+)?(?:,{PORT}|,rom[0-9a-f]{{12}})?"
)
"""All that ipset 6.20 is asked to understand."""


def lines(change):
    """Everything that a change writes: of ipset, of iptables."""
    of_rules = [line for text in change.rules.values() for line in text.splitlines()]
    return [*change.sets, *change.undone], of_rules


@pytest.mark.parametrize("seed", range(30))
def test_only_what_the_versions_of_ubuntu_1404_know_is_written(seed):
    chance = random.Random(seed)
    renderer = Renderer(SETTINGS)
    tables = renderer.render(random_admission(chance))
    _, placed, naming = loaded(tables)
    found = Found(chains=frozenset(("ROMANA-OLD",)), hooks={"FORWARD -j ROMANA-FORWARD": 2})
    again = replacement({(4, MANGLE): found, (6, NAT): Found()}, frozenset(), tables, naming)
    for change in (again, difference(placed, renderer.render(random_admission(chance)), naming)):
        sets, rules = lines(change)
        for line in sets:
            assert IPSET.fullmatch(line), line
            assert not line.split(",")[0].endswith("/0"), "ipset 6.20 has no networks of all"
            assert len(line.split()[1]) <= 31
        for line in rules:
            known = RESTORE.fullmatch(line)
            assert known, line
            rule = known["rule"]
            assert rule is None or RULE.fullmatch(rule), line


def test_names_of_any_length_fit_into_the_kernels():
    grants = frozenset(
        Grant(family, low, low + size, protocol, first, last)
        for family in (4, 6)
        for low, size in ((1, 0), (256, 255))
        for protocol, first, last in ((132, 60000, 65535), (253, 0, 65535), (6, 1, 2))
    )
    chains = set()
    for name in ("p", "0123456789abcdef", "closed-ingress", "a-name-that-is-much-too-long", "x.y"):
        made = program_tables(
            Program(name=name, direction=Direction.INGRESS, policies=(), grants=grants)
        )
        for number, key in enumerate(made.sets):
            serial = 36**5 - 1 - number
            text = set_name(key, serial)
            assert len(text) <= 31
            assert (set_code(text), set_serial(text)) == (key.code, serial)
        chains |= set(made.chains[4])
    assert all(len(each) <= 28 for each in chains)
    assert len(chains) == 5


def test_ports_of_a_protocol_without_ports_are_refused():
    grant = Grant(4, 1, 1, 47, 80, 80)
    program = Program(
        name="p", direction=Direction.INGRESS, policies=(), grants=frozenset((grant,))
    )
    with pytest.raises(ValueError, match="protocol 47 has no ports"):
        program_tables(program)


@settings(deadline=None)
@given(st.sampled_from((4, 6)), st.integers(0, 300), st.integers(0, 300), st.booleans())
def test_networks_cover_a_range_and_nothing_else(family, low, length, top):
    last = 2 ** (32 if family == 4 else 128) - 1
    if top:
        low = last - low - length
    covered = set()
    for text in networks(family, low, low + length):
        network = ip_network(text)
        first = int(network.network_address)
        found = set(range(first, first + network.num_addresses))
        assert not found & covered
        covered |= found
        assert "/" in text or network.num_addresses == 1
    assert covered == set(range(low, low + length + 1)) - ({0} if length == 0 else set())


def test_everything_is_two_networks():
    assert networks(4, 0, 2**32 - 1) == ("0.0.0.0/1", "128.0.0.0/1")
    assert networks(6, 0, 2**128 - 1) == ("::/1", "8000::/1")


def test_masquerade_is_only_where_pods_are():
    tables = render(random_admission(random.Random(1)), SETTINGS)
    (rule,) = tables.chains[4, NAT]["ROMANA-POSTROUTING"]
    sets = "-m set --match-set @pods src -m set ! --match-set @direct dst"
    assert rule.startswith(f"! -d 10.112.0.0/12 {sets}")
    direct = tables.sets[SetKey(4, "ROMANA-POSTROUTING", "direct")].elements
    assert direct == {"10.112.0.0/12", "0.0.0.0/1", "128.0.0.0/1", "198.18.0.1"}
    four = Settings(pod_networks=NETWORKS[:1])
    assert (6, NAT) not in render(random_admission(random.Random(1)), four).chains
    off = Settings(pod_networks=NETWORKS, masquerade=False)
    assert not [key for key in render(random_admission(random.Random(1)), off).chains if NAT in key]


SAVED = """\
# Generated by iptables-save v1.4.21 on Tue Nov 24 12:00:00 2026
*mangle
:PREROUTING ACCEPT [9:900]
:FORWARD ACCEPT [3:120]
:OTHER - [0:0]
:ROMANA-FORWARD - [0:0]
:ROMANA-I-p - [0:0]
:ROMANA-DENY-IN - [0:0]
[7:420] -A FORWARD -j ROMANA-FORWARD
[1:60] -A FORWARD -j OTHER
[1:60] -A OTHER -j ACCEPT
[2:120] -A ROMANA-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A ROMANA-I-p -m set --match-set ROMANA-p-hp-1z src,dst -j ACCEPT
[7:420] -A ROMANA-DENY-IN -m set --match-set ROMANA-DENY-IN-denied-3 dst,dst
[5:300] -A ROMANA-DENY-IN -j DROP
COMMIT
"""


def uncounted(text):
    return re.sub(r"(?m)^\[\d+:\d+\] ", "", text)


def test_what_is_ours_in_a_table_is_read_and_nothing_else():
    found = parse_save(uncounted(SAVED), MANGLE)
    assert found.chains == {
        "ROMANA-FORWARD": ("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",),
        "ROMANA-I-p": ("-m set --match-set ROMANA-p-hp-1z src,dst -j ACCEPT",),
        "ROMANA-DENY-IN": ("-m set --match-set ROMANA-DENY-IN-denied-3 dst,dst", "-j DROP"),
    }
    assert found.hooks == {"FORWARD -j ROMANA-FORWARD": 1}
    assert found.first == {"FORWARD -j ROMANA-FORWARD"}
    assert found.coded()["ROMANA-I-p"] == ("-m set --match-set @hp src,dst -j ACCEPT",)
    assert list(found.lookups(4)) == [
        (SetKey(4, "ROMANA-I-p", "hp"), "ROMANA-p-hp-1z"),
        (SetKey(4, "ROMANA-DENY-IN", "denied"), "ROMANA-DENY-IN-denied-3"),
    ]
    late = uncounted(SAVED).replace("-A FORWARD -j OTHER\n", "")
    late = late.replace("-A FORWARD -j ROM", "-A FORWARD -j OTHER\n-A FORWARD -j ROM")
    assert parse_save(late, MANGLE).first == frozenset()


def test_what_rules_have_counted_is_read_beside_them():
    found = parse_save(SAVED, MANGLE)
    assert found.chains == parse_save(uncounted(SAVED), MANGLE).chains
    assert found.hooks == {"FORWARD -j ROMANA-FORWARD": 1}
    assert found.packets == {
        "ROMANA-FORWARD": (2,),
        "ROMANA-I-p": (0,),
        "ROMANA-DENY-IN": (7, 5),
    }


def test_counters_are_those_of_the_chains_that_drop():
    assert parse_counters(SAVED) == {
        "denied-ingress": 5,
        "denied-egress": 0,
        "unknown": 0,
        "invalid": 0,
    }


def test_sets_are_read_as_every_ipset_prints_them():
    output = """\
create ROMANA-p-hp-1 hash:ip,port family inet hashsize 64 maxelem 4194304
add ROMANA-p-hp-1 10.0.0.1,tcp:80
create others hash:ip family inet hashsize 1024 maxelem 65536
add others 10.0.0.9
create ROMANA-p-n-2 hash:net family inet6 hashsize 64 maxelem 9 bucketsize 12 initval 0x1
add ROMANA-p-n-2 fd00::/16
"""
    assert parse_sets(output) == {
        "ROMANA-p-hp-1": IpSet(
            type="hash:ip,port", family=4, elements=frozenset(("10.0.0.1,tcp:80",))
        ),
        "ROMANA-p-n-2": IpSet(type="hash:net", family=6, elements=frozenset(("fd00::/16",))),
    }


def test_what_elements_have_counted_is_read_beside_them():
    output = """\
create ROMANA-IN-denied-1 hash:net,iface family inet hashsize 64 maxelem 9 counters
add ROMANA-IN-denied-1 10.0.0.1,rom1 packets 7 bytes 420
add ROMANA-IN-denied-1 10.0.0.2,rom2 packets 2 bytes 120
"""
    (found,) = parse_sets(output).values()
    assert found == IpSet(
        type="hash:net,iface", family=4, elements=frozenset(("10.0.0.1,rom1", "10.0.0.2,rom2"))
    )
    more = IpSet(type="hash:net,iface", family=6, packets={"fd00::1,rom1": 3})
    assert denied_packets((found, more)) == {"rom1": 10, "rom2": 2}


def test_sets_that_rules_look_up_are_held():
    said = "Name: ROMANA-a\nReferences: 1\nName: ROMANA-b\nHeader: x\nReferences: 0\n"
    assert parse_held(said) == {"ROMANA-a"}


@pytest.mark.parametrize(
    ("said", "version", "kind", "restore"),
    [
        ("iptables v1.4.21\n", (1, 4, 21), "legacy", ("iptables-restore", "--noflush")),
        (
            "iptables v1.8.9 (nf_tables)",
            (1, 8, 9),
            "nft",
            ("iptables-restore", "--noflush", "-w", "5"),
        ),
        (
            "iptables v1.6.2",
            (1, 6, 2),
            "legacy",
            ("iptables-restore", "--noflush", "-w", "5"),
        ),
    ],
)
def test_versions_and_what_they_take(said, version, kind, restore):
    found = parse_version(said, "")
    assert (found.version, found.kind, found.restore(4)) == (version, kind, restore)
    assert found.iptables(6) == ("ip6tables", "-w")


def test_what_is_no_version_is_refused():
    with pytest.raises(RulesetError, match="does not tell its version"):
        parse_version("usage: something", "")


def test_a_difference_is_told_in_words():
    address = int(ip_address("10.0.0.1"))
    grant = Grant(4, address, address, 6, 80, 80)
    made = program_tables(
        Program(name="p", direction=Direction.INGRESS, policies=(), grants=frozenset((grant,)))
    )
    wanted = render(random_admission(random.Random(1)), Settings())
    (key,) = made.sets
    found = listing(
        {(4, MANGLE): parse_save(uncounted(SAVED), MANGLE)},
        {
            "ROMANA-p-hp-1z": IpSet(type="hash:ip,port", family=4),
            "ROMANA-stray-h-1": IpSet(type="hash:ip", family=4),
        },
    )
    denying = ("-m set --match-set @denied dst,dst", "-j DROP")
    rules = {"ROMANA-FORWARD": ("-j ACCEPT",), "ROMANA-DENY-IN": denying, "ROMANA-X": ()}
    lacking = type(wanted)(sets={key: made.sets[key]})
    said = [str(each) for each in compare(lacking, {(4, MANGLE): rules}, found)]
    assert said == [
        "first rule of mangle of IPv4: missing INPUT -i rom+ -j ROMANA-INPUT",
        "chain ROMANA-FORWARD in mangle of IPv4: missing -j ACCEPT; "
        "foreign -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "chain ROMANA-I-p in mangle of IPv4: foreign",
        "chain ROMANA-X in mangle of IPv4: missing",
        "set ROMANA-stray-h-1: foreign",
        "set hp of ROMANA-I-p for IPv4: missing 10.0.0.1,tcp:80",
    ]


def test_both_kinds_are_asked_by_their_own_names():
    legacy = Variant(suffix="-legacy", version=(1, 8, 9))
    assert legacy.save(6, MANGLE) == ("ip6tables-legacy-save", "-t", "mangle")
    assert str(legacy) == "iptables 1.8.9 (legacy)"
