"""Every path through the table, live."""

import socket
import time
from ipaddress import ip_address

import pytest

from romana.lab.probes import Outcome, tcp, udp
from romana.policy.admission import Direction

BACKENDS = ("nftables", "nft", "legacy")
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
A, B, C = "10.112.0.5", "10.112.0.6", "10.112.0.7"
A6, B6 = "fd00:112::5", "fd00:112::6"
NODE, NODE6 = "198.18.0.11", "fd00:18::11"
OUTSIDE = "198.18.0.12"
TCP, UDP = 6, 17
QUICK_S = 0.4


def until(condition, limit_s=3.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def attempt(source, address, port):
    return tcp(source, address, port, timeout_s=QUICK_S).outcome


def test_pods_without_policies_reach_everything_and_are_reached(host, responder):
    a, b = host.pod("a", A, A6), host.pod("b", B, B6)
    host.enforce()
    for where, address in ((b, "0.0.0.0"), (b, "::")):
        responder.tcp(where, 80 if address == "0.0.0.0" else 81, address)
    responder.udp(b, 53)
    responder.tcp(host.namespace, 80)
    responder.tcp(host.outside, 80)
    assert tcp(a, B, 80, read=True).data.startswith(A.encode())
    assert attempt(a, B6, 81) is Outcome.CONNECTED
    assert udp(a, B, 53, timeout_s=QUICK_S)
    assert attempt(a, NODE, 80) is Outcome.CONNECTED
    assert attempt(host.namespace, B, 80) is Outcome.CONNECTED
    assert attempt(host.namespace, B6, 81) is Outcome.CONNECTED
    assert attempt(host.outside, B, 80) is Outcome.CONNECTED
    assert attempt(host.outside, B6, 81) is Outcome.CONNECTED
    assert tcp(a, OUTSIDE, 80, read=True).data.startswith(NODE.encode()), "masqueraded"
    assert attempt(a, B, 9) is Outcome.REFUSED, "nothing listens, nothing drops"
    assert sum(host.dropped().values()) == 0


@pytest.mark.parametrize(
    ("arguments", "admitted"),
    [
        (("10.112.0.5/32",), {("a", 80), ("a", 81)}),
        (("10.112.0.4/30",), {("a", 80), ("a", 81), ("c", 80), ("c", 81)}),
        (("10.112.0.5/32", TCP), {("a", 80), ("a", 81)}),
        (("10.112.0.5/32", TCP, 80), {("a", 80)}),
        (("10.112.0.0/16", TCP, 81), {("a", 81), ("c", 81)}),
        (("10.112.0.7/32", TCP, 80, 81), {("c", 80), ("c", 81)}),
        (("10.112.0.5/32", UDP), set()),
        (("10.112.0.5/32", UDP, 80), set()),
        (("10.113.0.0/16",), set()),
    ],
    ids=str,
)
@pytest.mark.parametrize("direction", [INGRESS, EGRESS])
def test_a_program_admits_its_grants_and_nothing_else(
    host, responder, direction, arguments, admitted
):
    pods = {"a": host.pod("a", A), "b": host.pod("b", B), "c": host.pod("c", C)}
    addresses = {"a": A, "b": B, "c": C}
    for name, pod in pods.items():
        for port in (80, 81):
            responder.tcp(pod, port)
        assert name
    program = host.program("p", direction, host.grant(*arguments))
    ingress = direction is INGRESS
    host.isolate("b", ingress=program if ingress else None, egress=None if ingress else program)
    host.enforce()
    for peer in ("a", "c"):
        for port in (80, 81):
            source, target = (peer, "b") if ingress else ("b", peer)
            outcome = attempt(pods[source], addresses[target], port)
            expected = Outcome.CONNECTED if (peer, port) in admitted else Outcome.TIMED_OUT
            assert outcome is expected, (peer, port)
    # The other direction is open.
    assert attempt(pods["b" if ingress else "a"], A if ingress else B, 80) is Outcome.CONNECTED
    denied = host.dropped()
    assert (denied[f"denied-{direction.value}"] > 0) == (len(admitted) < 4)
    assert denied["unknown"] == denied["invalid"] == 0


def test_a_hosts_ports_may_overlap_those_of_everybody(host, responder):
    a, b, c = host.pod("a", A), host.pod("b", B), host.pod("c", C)
    for port in (53, 80, 81):
        responder.tcp(b, port)
    everybody, own = host.grant("0.0.0.0/0", TCP, 53), host.grant(f"{A}/32", TCP, 53, 80)
    host.isolate("b", ingress=host.program("p", INGRESS, everybody, own))
    host.enforce()
    assert [attempt(a, B, port) for port in (53, 80)] == [Outcome.CONNECTED] * 2
    assert attempt(c, B, 53) is Outcome.CONNECTED
    assert attempt(c, B, 80) is attempt(a, B, 81) is Outcome.TIMED_OUT


def test_grants_of_both_families_and_of_ranges_that_are_no_prefix(host, responder):
    a, b = host.pod("a", A, A6), host.pod("b", B, B6)
    responder.tcp(b, 80)
    responder.tcp(b, 81, "::")
    responder.udp(b, 53)
    program = host.program(
        "p",
        INGRESS,
        host.grant("10.112.0.3/32", TCP, 79, 90, last="10.112.0.5"),
        host.grant("10.112.0.5/32", UDP),
        host.grant("fd00:112::5/128", TCP, 81),
    )
    host.isolate("b", ingress=program)
    host.enforce()
    assert attempt(a, B, 80) is Outcome.CONNECTED
    assert attempt(a, B6, 81) is Outcome.CONNECTED
    assert udp(a, B, 53, timeout_s=QUICK_S)
    assert attempt(host.outside, B6, 81) is Outcome.TIMED_OUT
    assert attempt(host.outside, B, 80) is Outcome.TIMED_OUT


def test_the_node_reaches_its_isolated_pods_but_they_not_the_node(host, responder):
    pod = host.pod("a", A, A6)
    responder.tcp(pod, 80)
    responder.tcp(pod, 81, "::")
    responder.tcp(host.namespace, 80)
    nothing = (host.program("in", INGRESS), host.program("out", EGRESS))
    host.isolate("a", ingress=nothing[0], egress=nothing[1])
    host.enforce()
    assert attempt(host.namespace, A, 80) is Outcome.CONNECTED
    assert attempt(host.namespace, A6, 81) is Outcome.CONNECTED
    assert attempt(pod, NODE, 80) is Outcome.TIMED_OUT
    assert attempt(pod, OUTSIDE, 80) is Outcome.TIMED_OUT
    assert host.dropped()["denied-egress"] > 0


def test_neighbour_discovery_between_pod_and_host_is_not_judged(host):
    pod = host.pod("a", A, A6)
    host.isolate("a", egress=host.program("out", EGRESS))
    host.enforce()
    gateway = "fe80::ecee:eeff:feee:eeee"
    pod.ip("neighbour", "del", gateway, "dev", "eth0")
    link = pod.open(socket.AF_INET6, socket.SOCK_DGRAM)
    with link:
        link.sendto(b"to be denied", (f"{gateway}%eth0", 9))
        known = "lladdr ee:ee:ee:ee:ee:ee"
        until(lambda: known in pod.ip("neighbour", "show", gateway, "dev", "eth0"))
    assert host.dropped()["unknown"] == 0


def test_an_interface_that_is_no_endpoint_is_shut(host, responder):
    a = host.pod("a", A)
    stranger = host.pod("stranger", C, known=False)
    for pod in (a, stranger):
        responder.tcp(pod, 80)
    responder.tcp(host.namespace, 80)
    host.enforce()
    assert attempt(stranger, A, 80) is Outcome.TIMED_OUT
    assert attempt(stranger, NODE, 80) is Outcome.TIMED_OUT
    assert attempt(a, C, 80) is Outcome.TIMED_OUT
    assert attempt(host.outside, C, 80) is Outcome.TIMED_OUT
    assert host.dropped()["unknown"] > 0


def test_a_source_address_that_is_not_the_pods_own_is_dropped(host, responder):
    a, b = host.pod("a", A), host.pod("b", B)
    responder.udp(b, 53)
    responder.udp(host.namespace, 53)
    host.enforce()
    a.ip("address", "add", f"{C}/32", "dev", "eth0")
    # Strict reverse path filtering would drop it earlier; the table must not depend on that.
    interface = host.links["a"].interface
    for name in ("all", interface):
        host.namespace.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")
    for target in (B, NODE):
        link = a.open(socket.AF_INET, socket.SOCK_DGRAM)
        with link:
            link.bind((C, 0))
            link.sendto(b"spoofed", (target, 53))
    assert host.dropped()["unknown"] == 2
    assert udp(a, B, 53, timeout_s=QUICK_S)


def test_a_pod_always_reaches_itself_by_its_service(host, responder):
    pod = host.pod("a", A)
    responder.tcp(pod, 80)
    host.isolate("a", ingress=host.program("in", INGRESS), egress=host.program("out", EGRESS))
    host.enforce()
    host.namespace.run(
        "nft",
        "-f",
        "-",
        stdin="""
        table ip services {
            chain destination {
                type nat hook prerouting priority dstnat;
                ip daddr 10.96.0.1 tcp dport 80 dnat to 10.112.0.5:80
            }
            chain hairpin {
                type nat hook postrouting priority srcnat - 1;
                ip saddr 10.112.0.5 ip daddr 10.112.0.5 masquerade
            }
        }""",
    )
    assert attempt(pod, "10.96.0.1", 80) is Outcome.CONNECTED


def test_what_is_judged_is_the_destination_after_translation(host, responder):
    a, b = host.pod("a", A), host.pod("b", B)
    responder.tcp(b, 8080)
    host.namespace.run(
        "nft",
        "-f",
        "-",
        stdin="""
        table ip services {
            chain destination {
                type nat hook prerouting priority dstnat;
                ip daddr 10.96.0.1 tcp dport 80 dnat to 10.112.0.6:8080
            }
        }""",
    )
    host.isolate("a", egress=host.program("out", EGRESS, host.grant(f"{B}/32", TCP, 8080)))
    host.enforce()
    assert attempt(a, "10.96.0.1", 80) is Outcome.CONNECTED
    host.isolate("a", egress=host.program("out", EGRESS, host.grant("10.96.0.1/32", TCP, 80)))
    host.enforce()
    assert attempt(a, "10.96.0.1", 80) is Outcome.TIMED_OUT


def test_related_errors_reach_an_isolated_pod(host, responder):
    pod = host.pod("a", A)
    host.isolate("a", ingress=host.program("in", INGRESS))
    host.enforce()
    # Nothing listens outside: the refusal is an ICMP error that belongs to the datagram.
    assert udp(pod, OUTSIDE, 53, timeout_s=QUICK_S).outcome is Outcome.REFUSED


def test_a_tcp_packet_that_opens_no_connection_is_dropped(host):
    a, b = host.pod("a", A), host.pod("b", B)
    host.enforce()
    raw = a.open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    header = bytearray(20)
    header[0:4] = (4000).to_bytes(2, "big") + (80).to_bytes(2, "big")
    header[12], header[13] = 5 << 4, 0x10
    pseudo = ip_address(A).packed + ip_address(B).packed + bytes((0, TCP, 0, 20))
    words = sum(int.from_bytes((pseudo + header)[at : at + 2], "big") for at in range(0, 32, 2))
    header[16:18] = (0xFFFF - (words % 0xFFFF)).to_bytes(2, "big")
    with raw:
        raw.sendto(bytes(header), (B, 0))
    assert b.exists
    assert host.dropped()["invalid"] == 1
