"""Pods' interfaces and routes in the kernel."""

from ipaddress import ip_address, ip_network

import pytest

from romana.dataplane import (
    ROUTE,
    LinkChanged,
    LinkError,
    Listener,
    PodLink,
    Route,
    RouteChanged,
    RouteError,
    apply_routes,
    attach,
    check,
    detach,
    exists,
    interfaces,
    read_routes,
)
from romana.lab.probes import Outcome, tcp

A, B, A6 = "10.112.0.5", "10.112.0.6", "fd00:112::5"
NODE = "198.18.0.11"


def test_a_pods_interface_is_as_its_value_says(host):
    pod = host.pod("a", A, A6)
    link = host.links["a"]
    assert host.do(check(link)) == ()
    assert host.namespace.inside(interfaces) == {link.interface}
    assert pod.links() == {"lo", "eth0"}
    assert "permanent" in host.namespace.ip("neighbour", "show", "dev", link.interface).lower()
    assert f"src {NODE}" in host.namespace.ip("route", "get", A)
    assert "via 169.254.1.1 dev eth0 src 10.112.0.5" in pod.ip("route", "get", "198.18.0.12")
    assert "via fe80::ecee:eeff:feee:eeee dev eth0" in pod.ip("-6", "route", "get", "fd00:18::12")
    assert "mtu 1500" in pod.ip("link", "show", "eth0")


def test_no_packet_of_a_new_pod_waits_for_arp(host, responder):
    a = host.pod("a", A)
    host.enforce()
    responder.tcp(host.namespace, 80)
    a.run("ip", "neighbour")
    assert tcp(a, NODE, 80).outcome is Outcome.CONNECTED
    sent = a.run("cat", "/proc/net/dev").split("eth0:")[1].split()
    # SYN, ACK, FIN and what follows it; an ARP request would be one more at the front.
    assert "INCOMPLETE" not in a.ip("neighbour", "show")
    assert int(sent[9]) >= 3


def test_a_pod_that_lost_its_neighbour_finds_the_host_again(host, responder):
    a = host.pod("a", A)
    host.enforce()
    responder.tcp(host.namespace, 80)
    a.ip("neighbour", "flush", "all", "nud", "permanent")
    assert tcp(a, NODE, 80, timeout_s=2).outcome is Outcome.CONNECTED


def test_attach_again_and_detach_again(host):
    host.pod("a", A)
    link = host.links["a"]
    host.do(attach(link))
    assert host.do(check(link)) == ()
    assert host.do(detach(link.interface))
    assert not host.do(detach(link.interface))
    assert not host.namespace.inside(lambda: exists(link.interface))
    assert host.do(check(link)) == (f"interface {link.interface} does not exist",)
    assert host.do(read_routes()) == frozenset()


@pytest.mark.parametrize(
    ("where", "damage", "said"),
    [
        ("pod", "link set eth0 down", "eth0 of the pod is down"),
        ("pod", "link set eth0 mtu 1400", "eth0 of the pod has MTU 1400, not 1500"),
        ("pod", "address del 10.112.0.5/32 dev eth0", "eth0 of the pod lacks 10.112.0.5"),
        ("pod", "address add 10.112.0.9/32 dev eth0", "has 10.112.0.9, which is not its own"),
        ("pod", "route del default", "the pod has no default route by 169.254.1.1"),
        ("host", "route del 10.112.0.5", "the host has no route to 10.112.0.5"),
        ("host", "link set rom000000000000 down", "rom000000000000 of the host is down"),
    ],
    ids=str,
)
def test_check_says_what_is_wrong(host, where, damage, said):
    pod = host.pod("a", A)
    (pod if where == "pod" else host.namespace).ip(*damage.split())
    assert said in "; ".join(host.do(check(host.links["a"])))
    host.do(attach(host.links["a"]))
    assert host.do(check(host.links["a"])) == ()


def test_what_cannot_be_made_leaves_nothing_behind(host):
    host.pod("a", A)
    before = host.namespace.links()
    pod = host.lab.namespace("b")
    cases = {
        "/run/netns/rt-dp.absent": "rt-dp.absent",
        str(pod.path): "Invalid prefsrc address",  # which the host does not have
    }
    for path, said in cases.items():
        link = PodLink(
            interface="rom0000000000ff",
            netns=path,
            name="eth0",
            addresses=(ip_address(B),),
            sources=(ip_address("198.18.0.99"),),
        )
        with pytest.raises(LinkError, match=said):
            host.do(attach(link))
        assert host.namespace.links() == before
        assert pod.links() == {"lo"}


def test_only_our_routes_are_changed(host):
    host.pod("a", A)
    host.namespace.ip("route", "add", "10.113.0.0/25", "via", "198.18.0.12", "proto", "static")
    host.namespace.ip("route", "add", "10.114.0.0/25", "via", "198.18.0.12", "proto", "82")
    pod = Route(
        destination=ip_network(A),
        device=host.links["a"].interface,
        source=ip_address(NODE),
    )
    assert pod in host.do(read_routes())
    via = ip_address("198.18.0.12")
    wanted = frozenset(
        (
            pod,
            Route(destination=ip_network("10.112.0.0/25"), blackhole=True),
            Route(destination=ip_network("fd00:112::/64"), blackhole=True),
            Route(destination=ip_network("10.115.0.0/25"), via=via),
            Route(destination=ip_network("fd00:115::/64"), via=ip_address("fd00:18::12")),
        )
    )
    changes = host.do(apply_routes(wanted))
    assert len(changes) == 5
    assert host.do(read_routes()) == wanted
    assert host.do(apply_routes(wanted)) == ()
    moved = frozenset(
        Route(destination=each.destination, via=ip_address("198.18.0.13"))
        if each.via == via
        else each
        for each in wanted
    )
    assert host.do(apply_routes(moved)) == ("route replace 10.115.0.0/25 via 198.18.0.13 proto 82",)
    assert host.do(read_routes()) == moved
    host.do(apply_routes(frozenset()))
    assert host.do(read_routes()) == frozenset()
    assert "10.113.0.0/25" in host.namespace.ip("route", "show", "proto", "static")


def test_a_route_that_cannot_be_written_is_named_and_keeps_no_other_back(host):
    host.namespace.ip("route", "add", "10.113.0.0/25", "via", "198.18.0.12", "proto", "static")
    taken = Route(destination=ip_network("10.113.0.0/25"), via=ip_address("198.18.0.13"))
    beyond = Route(destination=ip_network("10.114.0.0/25"), via=ip_address("203.0.113.1"))
    good = Route(destination=ip_network("10.115.0.0/25"), via=ip_address("198.18.0.13"))
    host.namespace.ip("route", "del", "default")
    with pytest.raises(RouteError) as caught:
        host.do(apply_routes(frozenset((taken, beyond, good))))
    assert "`route add 10.113.0.0/25 via 198.18.0.13 proto 82` (File exists)" in str(caught.value)
    assert "10.114.0.0/25" in str(caught.value)
    assert "10.115" not in str(caught.value)
    assert host.do(read_routes()) == {good}


def test_routes_and_interfaces_tell_of_themselves(host):
    listener = host.namespace.inside(lambda: Listener(ROUTE))
    host.pod("a", A, A6)
    interface = host.links["a"].interface
    told = listener.receive()
    added = {
        each.destination for each in told if isinstance(each, RouteChanged) and each.protocol == 82
    }
    assert added == {ip_network(A), ip_network(A6)}
    assert any(isinstance(each, LinkChanged) and each.name == interface for each in told)
    host.do(detach(interface))
    gone = [each for each in listener.receive() if isinstance(each, LinkChanged)]
    assert (gone[-1].name, gone[-1].present) == (interface, False)
    listener.close()
