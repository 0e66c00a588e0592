"""Every packet that meets a change is judged by what was in force before it or by what is after it.

Packets come as densely as the machine can send them, in both address families, and each is a first
one: it is not tracked. Meanwhile the kernel is changed all the time between two states that judge
them alike. What enters our rules and what leaves them is counted by chains before and behind them.
"""

import json
import socket
import sys
from contextlib import ExitStack, contextmanager

import pytest

from romana.policy.admission import Direction

BACKENDS = ("nftables", "nft", "legacy")
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
A, B = ("10.112.0.5", "fd00:112::5"), ("10.112.0.6", "fd00:112::6")
PORT = 79
CHANGES = 60
COUNTING = f"""table inet counting {{
    counter came {{}}
    counter went {{}}
    chain untracked {{
        type filter hook prerouting priority raw; udp dport {PORT} notrack
    }}
    chain before {{
        type filter hook forward priority mangle - 5; udp dport {PORT} counter name came
    }}
    chain behind {{
        type filter hook forward priority filter + 5; udp dport {PORT} counter name went
    }}
}}
"""
SENDER = f"""
import socket, sys
links = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
for link, address in zip(links, sys.argv[1:]):
    link.connect((address, {PORT}))
while True:
    for link in links:
        try:
            link.send(b"x")
        except OSError:
            pass
"""


def grants(host, *wanted):
    """The same for both families: grants to a peer (`host` or `net`), with protocol and ports."""
    peers = {
        "host": (f"{A[0]}/32", f"{A[1]}/128"),
        "net": ("10.112.0.0/24", "fd00:112::/64"),
        "wider": ("10.112.0.0/23", "fd00:112::/63"),
        "other": ("10.113.0.1/32", "fd00:113::1/128"),
        "others": ("10.113.1.0/24", "fd00:113:1::/64"),
    }
    return [host.grant(each, *service) for peer, *service in wanted for each in peers[peer]]


OTHER = ("other",), ("other", 17, 80), ("others", 17, 70, 90), ("others", 6)
UDP = (17, PORT)
CASES = {
    "from program to program": (True, [("p", ("host",), *OTHER), ("q", ("host",), *OTHER)]),
    "from networks to networks": (True, [("p", ("net",), *OTHER), ("q", ("net",), *OTHER)]),
    "from open to networks": (True, [None, ("q", ("net",), *OTHER)]),
    "a host's grant gets wider": (True, [("p", ("host", *UDP), *OTHER), ("p", ("host",), *OTHER)]),
    "a host's becomes a network's": (True, [("p", ("host",), *OTHER), ("p", ("net",), *OTHER)]),
    "a network's grant gets wider": (True, [("p", ("net", *UDP), *OTHER), ("p", ("net",), *OTHER)]),
    "a network gets wider": (True, [("p", ("net",), *OTHER), ("p", ("wider",), *OTHER)]),
    "from closed to closed": (False, [("p", *OTHER), ("q", *OTHER)]),
    "others come and go": (False, [("p", *OTHER[:2]), ("p", *OTHER)]),
}


@contextmanager
def sending(pod):
    """Packets to both addresses of the other pod, for as long as the block."""
    with pod.running(sys.executable, "-c", SENDER, *B):
        yield


def counted(host):
    """How many packets came, and how many went on."""
    output = host.namespace.run("nft", "-j", "list", "counters", "table", "inet", "counting")
    found = [each["counter"] for each in json.loads(output)["nftables"] if "counter" in each]
    packets = {each["name"]: each["packets"] for each in found}
    return packets["came"], packets["went"]


@pytest.fixture
def pods(host):
    a, b = host.pod("a", *A), host.pod("b", *B)
    host.namespace.run("nft", "-f", "-", stdin=COUNTING)
    with ExitStack() as stack:
        for family, address in zip((socket.AF_INET, socket.AF_INET6), B, strict=True):
            # That nobody hears would be answered.
            stack.enter_context(b.open(family, socket.SOCK_DGRAM)).bind((address, PORT))
        yield a, b


def test_packets_in_a_change_are_judged_by_the_old_or_by_the_new(host, pods):
    wrong, changes, packets = {}, 0, 0
    for title, (admitted, states) in CASES.items():
        programs = [
            state and host.program(state[0], INGRESS, *grants(host, *state[1:])) for state in states
        ]
        host.isolate("b", ingress=programs[0])
        host.enforce()
        before = counted(host)
        with sending(pods[0]):
            while counted(host)[0] < before[0] + 100:
                pass
            for turn in range(CHANGES):
                host.isolate("b", ingress=programs[(turn + 1) % 2])
                host.enforce()
        came, went = (now - then for now, then in zip(counted(host), before, strict=True))
        changes, packets = changes + CHANGES, packets + came
        faults = came - went if admitted else went
        if faults:
            wrong[title] = f"{faults} of {came} {'lost' if admitted else 'passed'}"
    print(f"{packets} packets in {changes} changes")
    assert wrong == {}
