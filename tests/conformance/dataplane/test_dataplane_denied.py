"""Denied packets: counted for each endpoint, to the packet, and told of where that is wanted."""

from __future__ import annotations

import select
import time
from dataclasses import replace
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SOCK_DGRAM

import pytest

from romana.dataplane.denials import BYTES, PREFIX, DenialLog
from romana.dataplane.errors import NetlinkError
from romana.dataplane.nflog import LoggedPacket, LogListener
from romana.lab.probes import Outcome, tcp
from romana.policy.admission import Direction

BACKENDS = ("nftables", "nft", "legacy")
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
A, B, OUTSIDE = "10.112.0.5", "10.112.0.6", "198.18.0.12"
A6, B6 = "fd00:112::5", "fd00:112::6"
UDP, PORT = 17, 5353


def send(source, address, count, port=PORT):
    """Send datagrams, each of which is a packet."""
    family = AF_INET6 if ":" in address else AF_INET
    with source.open(family, SOCK_DGRAM) as link:
        for _ in range(count):
            link.sendto(b"denied?", (address, port))


def denied(host, name):
    """What has been denied to and from a pod so far."""
    found = host.do(host.backend.denied())
    interface = host.links[name].interface
    return tuple(found.get(each, {}).get(interface, 0) for each in (INGRESS, EGRESS))


def comes_to(host, name, *expected):
    """Wait until so much has been denied to and from a pod: what is sent is judged a little
    later."""
    end = time.monotonic() + 60
    while denied(host, name) != expected:
        assert time.monotonic() < end, f"{name}: {denied(host, name)} and not {expected}"
        time.sleep(0.02)


def pods(host):
    """Two pods: b admits only port 53 of a network, a may send only there; other ports are
    denied."""
    a, b = host.pod("a", A, A6), host.pod("b", B, B6)
    host.isolate("b", ingress=host.program("b-in", INGRESS, host.grant("10.112.0.0/16", UDP, 53)))
    host.enforce()
    return a, b


def test_counts_are_right_to_the_packet_and_survive_changes_of_policies(host):
    a, b = pods(host)
    before = dict(host.dropped())
    send(a, B, 7)
    send(a, B6, 4)
    send(host.outside, B, 5)
    send(a, B, 3, port=53)  # admitted
    send(b, A, 2)  # nothing isolates a
    comes_to(host, "b", 16, 0)
    comes_to(host, "a", 0, 0)
    host.isolate("a", egress=host.program("a-out", EGRESS))
    host.isolate("b", ingress=host.program("other", INGRESS, host.grant("10.113.0.0/16")))
    host.enforce()
    send(a, B, 6)
    send(a, "198.18.0.11", 1)  # to the node, which is egress as well
    send(a, A, 5)  # to itself
    comes_to(host, "a", 0, 7)
    comes_to(host, "b", 16, 0)  # of two sides that deny, the first counts
    host.pod("c", "10.112.0.7")
    host.enforce()
    send(host.outside, B, 1)
    comes_to(host, "b", 17, 0)
    dropped = host.dropped()
    assert dropped["denied-ingress"] - before["denied-ingress"] == 17
    assert dropped["denied-egress"] - before["denied-egress"] == 7


def test_a_pod_with_the_address_of_another_begins_at_none(host):
    a, _ = pods(host)
    send(a, B, 3)
    comes_to(host, "b", 3, 0)
    was = host.endpoints.pop("b")
    moved = replace(was.endpoint, interface="rom00000000abcd")
    host.endpoints["b"] = replace(was, endpoint=moved)
    host.enforce()
    found = host.do(host.backend.denied())
    assert found[INGRESS]["rom00000000abcd"] == 0
    assert was.endpoint.interface not in found[INGRESS]


def received(listener, count, limit_s=60.0):
    """So many packets that the kernel tells of, and any more that are there already."""
    found = []
    while len(found) < count:
        assert select.select([listener], [], [], limit_s)[0], f"{len(found)} of {count} in time"
        found.extend(listener.receive())
    return found


def listen(host, group):
    return host.namespace.inside(lambda: LogListener(group, BYTES))


def test_denied_packets_are_told_of_as_long_as_that_is_wanted(host):
    a, b = pods(host)
    plain = host.ruleset
    host.isolate("a", egress=host.program("a-out", EGRESS, host.grant(f"{B}/32")))
    host.renderer.settings = replace(host.renderer.settings, denial_log=DenialLog(group=7))
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()
    with listen(host, 7) as listener:
        send(a, B, 1)
        send(b, A6, 1)  # admitted
        send(a, OUTSIDE, 1, port=99)
        assert tcp(host.outside, B, 80, timeout_s=0.2).outcome is Outcome.TIMED_OUT
        found = received(listener, 3)
    ports = {each.port: each for each in found}
    told = ports[PORT]
    assert isinstance(told, LoggedPacket)
    assert (told.prefix, told.protocol) == (PREFIX[INGRESS], UDP)
    assert (told.source, told.destination) == (ip_address(A), ip_address(B))
    assert told.source_port > 0
    assert (ports[99].prefix, ports[99].destination) == (PREFIX[EGRESS], ip_address(OUTSIDE))
    assert (ports[80].source, ports[80].protocol) == (ip_address(OUTSIDE), 6)
    host.renderer.settings = replace(host.renderer.settings, denial_log=None)
    host.isolate("a")
    host.enforce()
    assert host.ruleset.chains == plain.chains
    counted = denied(host, "b")[0]
    with listen(host, 7) as listener:
        send(a, B, 1)
        comes_to(host, "b", counted + 1, 0)  # counts stay as they were
        assert not select.select([listener], [], [], 0.5)[0]


def test_only_pods_of_some_namespaces_are_told_of_and_of_a_flood_a_part(host):
    a, _ = pods(host)
    other = host.pod("other", "10.112.0.9")
    endpoint = host.endpoints["other"].endpoint
    host.endpoints["other"] = replace(
        host.endpoints["other"], endpoint=replace(endpoint, pod=("loud", "other"))
    )
    host.isolate("other", egress=host.program("none", EGRESS))
    log = DenialLog(namespaces=frozenset(("loud",)), group=7)
    host.renderer.settings = replace(host.renderer.settings, denial_log=log)
    host.enforce()
    with listen(host, 7) as listener:
        send(a, B, 5)
        send(other, OUTSIDE, 400)
        found = received(listener, 1)
        while select.select([listener], [], [], 1.0)[0]:
            found.extend(listener.receive())
    assert {each.prefix for each in found} == {PREFIX[EGRESS]}
    assert 1 <= len(found) < 400
    comes_to(host, "other", 0, 400)


def test_of_a_group_that_another_listens_to_it_is_said_so(host):
    with listen(host, 7), pytest.raises(NetlinkError, match="another process listens to it"):
        listen(host, 7)
    listen(host, 7).close()
