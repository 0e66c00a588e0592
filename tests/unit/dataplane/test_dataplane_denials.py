"""What the kernel counts and tells of denied packets: how it is asked, and how its answers are
read."""

import json
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from romana.dataplane.counted import counted
from romana.dataplane.denials import DenialLog
from romana.dataplane.direct import orders
from romana.dataplane.nflog import LoggedPacket, parse, requests, told
from romana.dataplane.nftables import Settings
from romana.dataplane.nftables import render as render_nftables
from romana.dataplane.transition import transition
from romana.dataplane.xtables.sets import SetKey
from romana.dataplane.xtables.tables import MANGLE
from romana.dataplane.xtables.tables import render as render_iptables
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Grant,
    Program,
)

RECORDED = json.loads(Path(__file__).with_name("recorded_netlink.json").read_text())


def admission():
    pods = {"rom1": ("shop", "a", "10.112.0.5"), "rom2": ("ops", "b", "fd00:112::5")}
    return Admission(
        endpoints={
            name: EndpointPrograms(
                endpoint=Endpoint(interface=name, addresses=(ip_address(address),), pod=pod)
            )
            for name, (*pod, address) in pods.items()
        }
    )


def test_every_endpoint_counts_what_is_denied_to_and_from_it():
    made = render_nftables(admission(), Settings())
    assert made.chains["deny-ingress"].rules == (
        "oifname . ip daddr @denied-ingress4",
        "oifname . ip6 daddr @denied-ingress6",
        'counter name "denied-ingress" drop',
    )
    assert made.sets["denied-egress4"].elements == {'"rom1" . 10.112.0.5'}
    assert made.sets["denied-ingress6"].elements == {'"rom2" . fd00:112::5'}
    assert made.sets["denied-ingress6"].declaration == "type ifname . ipv6_addr; counter;"
    assert "counter" not in made.sets["denied-ingress6"].header
    assert made.structure().sets["denied-ingress6"].counted


def test_the_kernel_tells_of_pods_of_the_namespaces_that_are_wanted():
    log = DenialLog(namespaces=frozenset(("shop",)), group=7)
    made = render_nftables(admission(), Settings(denial_log=log))
    assert made.chains["deny-egress"].rules[1] == (
        "iifname . ip saddr @logged4 limit rate 20/second burst 40 packets "
        'log prefix "romana-egress" group 7 snaplen 128'
    )
    assert made.sets["logged4"].elements == {'"rom1" . 10.112.0.5'}
    assert made.sets["logged6"].elements == frozenset()
    every = render_nftables(admission(), Settings(denial_log=DenialLog()))
    assert every.sets["logged6"].elements == {'"rom2" . fd00:112::5'}
    assert "logged6" not in render_nftables(admission(), Settings()).sets


def test_iptables_does_the_same():
    log = DenialLog(namespaces=frozenset(("shop",)), group=7)
    made = render_iptables(admission(), Settings(denial_log=log))
    assert made.chains[4, MANGLE]["ROMANA-DENY-IN"] == (
        "-m set --match-set @denied dst,dst",
        "-m set --match-set @logged dst,dst -m limit --limit 20/sec --limit-burst 40 "
        "-j NFLOG --nflog-prefix romana-ingress --nflog-group 7",
        "-j DROP",
    )
    assert made.chains[6, MANGLE]["ROMANA-DENY-OUT"] == (
        "-m set --match-set @denied src,src",
        "-j DROP",
    )
    counting = made.sets[SetKey(6, "ROMANA-DENY-OUT", "denied")]
    assert (counting.elements, counting.counted) == ({"fd00:112::5,rom2"}, True)
    assert not made.sets[SetKey(4, "ROMANA-DENY-IN", "logged")].counted
    assert render_iptables(Admission(), Settings()).sets == {}


def test_the_counts_of_elements_are_read_as_the_kernel_tells_them():
    bodies = [bytes.fromhex(each) for each in RECORDED["elements"]]
    assert dict(counted(bodies)) == {"rom0123456789ab": 7, "rom1": 0}


def test_packets_are_read_as_the_kernel_tells_of_them():
    (data,) = RECORDED["log"]
    found = list(told(bytes.fromhex(data)))
    assert found == [
        LoggedPacket(
            prefix="romana-ingress",
            source=ip_address(address),
            destination=ip_address(address),
            protocol=17,
            source_port=source_port,
            port=port,
        )
        for address, source_port, port in (("127.0.0.1", 40000, 53), ("fd00::1", 40001, 99))
    ]


ENDS = bytes.fromhex("fd" + "00" * 14 + "01" + "fd" + "00" * 14 + "02")
PORTS = bytes.fromhex("9c400050")


def six(protocol, *rest):
    """A packet of IPv6."""
    return bytes((0x60, 0, 0, 0, 0, 0, protocol, 64)) + ENDS + b"".join(rest)


def four(protocol, *rest, fragment=0, words=5):
    """A packet of IPv4, with so many words of header."""
    header = bytes((0x40 | words, 0, 0, 0, 0, 0, fragment >> 8, fragment & 255, 64, protocol))
    return header + bytes(2) + bytes((10, 0, 0, 1, 10, 0, 0, 2)) + bytes(words * 4 - 20) + PORTS


@pytest.mark.parametrize(
    ("data", "protocol", "ports"),
    [
        (four(6), 6, (40000, 80)),
        (four(132, words=8), 132, (40000, 80)),
        (four(17, fragment=185), 17, (0, 0)),
        (four(17, fragment=0x2000), 17, (40000, 80)),
        (four(1), 1, (0, 0)),
        (four(17)[:22], 17, (0, 0)),
        (six(6, PORTS), 6, (40000, 80)),
        (six(0, bytes((43, 0)), bytes(6), bytes((6, 1)), bytes(14), PORTS), 6, (40000, 80)),
        (six(44, bytes((17, 0, 0, 1)), bytes(4), PORTS), 17, (40000, 80)),
        (six(44, bytes((17, 0, 0, 9)), bytes(4), PORTS), 17, (0, 0)),
        (six(60, bytes((6, 200)), bytes(6), PORTS), 6, (0, 0)),
        (six(58, bytes((128, 0)), bytes(6)), 58, (0, 0)),
        (six(0), 0, (0, 0)),
    ],
)
def test_headers_are_read_as_far_as_they_are_there(data, protocol, ports):
    found = parse(data, "p")
    assert (found.protocol, (found.source_port, found.port)) == (protocol, ports)
    assert str(found.destination).endswith("2")


@pytest.mark.parametrize("data", [b"", b"\x45", four(6)[:19], six(6)[:39], b"\x20" * 60])
def test_what_is_no_packet_of_ip_is_none(data):
    assert parse(data, "p") is None


def test_a_group_is_asked_for_with_as_many_bytes_as_are_wanted():
    bind, mode, flush = requests(82, 128)
    assert bind.hex() == "00000052" + "0500010001000000"
    assert mode.hex() == "00000052" + "0a000200" + "00000080" + "0200" + "0000"
    assert flush.hex() == "00000052" + "08000400" + "0000000a"


def test_switching_the_log_is_left_to_nft_wherever_on_the_way_it_makes_sets_of_interfaces():
    host = Grant(4, 2**24, 2**24, 6, 80, 80)
    program = Program(name="p", direction=Direction.EGRESS, policies=(), grants=frozenset((host,)))
    isolated = replace(
        admission(),
        endpoints={name: replace(each, egress="p") for name, each in admission().endpoints.items()},
        programs={"p": program},
    )
    plain = render_nftables(admission(), Settings())
    logged = render_nftables(isolated, Settings(denial_log=DenialLog()))
    for old, new in ((plain, logged), (logged, plain)):
        made = set()
        for each in transition(old, new):
            if orders(old, each) is not None:
                made |= each.sets.keys() - old.sets.keys()
            old = each
        assert old == new
        assert not any("logged" in name for name in made)
