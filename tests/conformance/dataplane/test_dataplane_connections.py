"""Live connections in the kernel: told, judged, cut."""

import socket
from ipaddress import ip_address

import pytest

from romana.dataplane import cut, cut_denied, live
from romana.policy.admission import Direction, Flow

BACKENDS = ("nftables", "nft", "legacy")
A, B, C = "10.112.0.5", "10.112.0.6", "10.112.0.7"
A6, B6 = "fd00:112::5", "fd00:112::6"
SERVICE = """
table ip services {
    chain destination {
        type nat hook prerouting priority dstnat;
        ip daddr 10.96.0.1 tcp dport 80 dnat to 10.112.0.6:8080
    }
}"""


def flows(host, *addresses):
    return {each.flow for each in host.do(live([ip_address(each) for each in addresses]))}


def flow(source, destination, protocol, port=0):
    return Flow(
        source=ip_address(source),
        destination=ip_address(destination),
        protocol=protocol,
        port=port,
    )


def test_connections_are_told_as_they_are_after_translation(host, responder):
    a, b = host.pod("a", A, A6), host.pod("b", B, B6)
    host.enforce()
    host.namespace.run("nft", "-f", "-", stdin=SERVICE)
    responder.tcp(b, 8080)
    responder.tcp(b, 81, "::")
    datagram = a.open(socket.AF_INET, socket.SOCK_DGRAM)
    echo = a.open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with a.connect("10.96.0.1", 80), a.connect(B6, 81), datagram, echo:
        datagram.sendto(b"x", (B, 53))
        echo.sendto(bytes.fromhex("0800f7ff00000000"), (B, 0))
        assert (
            flows(host, A, A6)
            == flows(host, B, B6)
            == {
                flow(A, B, 6, 8080),
                flow(A6, B6, 6, 81),
                flow(A, B, 17, 53),
                flow(A, B, 1),
            }
        )
        assert flows(host, C) == frozenset()
        assert flows(host, "10.96.0.1") == {flow(A, B, 6, 8080)}
        (service,) = host.do(live([ip_address("10.96.0.1")]))
        assert " -> 10.112.0.6:8080 (by 10.96.0.1:80)" in str(service)


def test_a_masqueraded_connection_is_told_with_the_pods_address(host, responder):
    a = host.pod("a", A)
    host.enforce()
    responder.tcp(host.outside, 80)
    with a.connect("198.18.0.12", 80):
        assert flows(host, A) == {flow(A, "198.18.0.12", 6, 80)}


def test_exactly_the_denied_connections_are_cut(host, responder):
    a, b, c = host.pod("a", A, A6), host.pod("b", B, B6), host.pod("c", C)
    host.enforce()
    for port in (80, 81):
        responder.tcp(b, port)
        responder.tcp(b, port + 100, "::")
    links = {
        (pod, address, port): pod.connect(address, port)
        for pod, address, port in (
            (a, B, 80),
            (a, B, 81),
            (c, B, 80),
            (c, B, 81),
            (a, B6, 180),
            (a, B6, 181),
        )
    }
    for link in links.values():
        assert link.recv(100)
        link.settimeout(0.5)
    denied = {(c, B, 80), (a, B6, 181)}
    program = host.program(
        "in",
        Direction.INGRESS,
        host.grant(f"{A}/32", 6, 80, 81),
        host.grant(f"{C}/32", 6, 81),
        host.grant(f"{A6}/128", 6, 180),
    )
    host.isolate("b", ingress=program)
    host.enforce()

    def admits(each):
        return (str(each.source), each.port) not in {(C, 80), (A6, 181)}

    ended = host.do(cut_denied([ip_address(B), ip_address(B6)], admits))
    assert {(str(each.flow.source), each.flow.port) for each in ended} == {(C, 80), (A6, 181)}
    for key, link in links.items():
        link.sendall(b"still there?")
        if key in denied:
            with pytest.raises(TimeoutError):
                link.recv(100)
        else:
            assert link.recv(100) == b"still there?"
        link.close()
    assert host.dropped()["invalid"] > 0


def test_a_cut_connection_does_not_revive_from_the_other_end(host):
    """Conntrack would adopt the server's next packet as a new connection of its own."""
    a, b = host.pod("a", A), host.pod("b", B)
    host.enforce()
    listener = b.open()
    with listener:
        listener.bind((B, 80))
        listener.listen()
        client = a.connect(B, 80)
        server, _ = listener.accept()
    with client, server:
        host.isolate("b", ingress=host.program("in", Direction.INGRESS))
        host.enforce()
        assert len(host.do(cut_denied([ip_address(B)], lambda _: False))) == 1
        client.settimeout(0.5)
        server.sendall(b"revive")
        with pytest.raises(TimeoutError):
            client.recv(10)
        server.settimeout(0.5)
        client.sendall(b"revive")
        with pytest.raises(TimeoutError):
            server.recv(10)


def test_a_connection_that_ended_by_itself_is_no_error(host, responder):
    a, b = host.pod("a", A), host.pod("b", B)
    host.enforce()
    responder.tcp(b, 80)
    with a.connect(B, 80):
        (connection,) = host.do(live([ip_address(A)]))
        assert host.do(cut([connection])) == 1
        assert host.do(cut([connection])) == 0


def test_many_connections(host):
    a, b = host.pod("a", A), host.pod("b", B)
    host.enforce()
    sender = a.open(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for port in range(1, 1501):
            sender.sendto(b"x", (B, port))
    assert b.exists
    found = host.do(live([ip_address(B)]))
    assert {each.flow.port for each in found} == set(range(1, 1501))
    ended = host.do(cut_denied([ip_address(B)], lambda each: each.port % 2 == 0))
    assert len(ended) == 750
    assert {each.port for each in flows(host, B)} == set(range(2, 1501, 2))
