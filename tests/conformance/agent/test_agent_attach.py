"""Attaching pods: the runtime's commands, connectivity, nothing unjudged, nothing left over."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from socket import SOCK_DGRAM

import pytest

from romana.lab.probes import tcp

PORT = 80


def test_pods_reach_each_other_under_their_own_addresses(pods):
    for client in (pods["a1"], pods["a2"]):
        for server in (pods["b1"], pods["b2"], client):
            result = tcp(client.inside, server.address, PORT, read=True)
            assert result, (client.key, server.key)
            assert result.data.decode().split()[0] == client.address


def test_hosts_reach_pods_and_pods_reach_hosts(cluster, hosts, pods):
    for host in hosts:
        for pod in pods.values():
            assert tcp(host.inside, pod.address, PORT), (host.name, pod.key)
    cluster.responder.tcp(hosts[0].inside, 8080)
    for pod in pods.values():
        seen = tcp(pod.inside, hosts[0].address, 8080, read=True)
        assert seen.data.decode().split()[0] == pod.address


def test_outside_the_cluster_pods_have_their_hosts_address(cluster, hosts, pods):
    outside = cluster.lab.host("outside", "198.18.0.99")
    cluster.responder.tcp(outside, 8080)
    seen = tcp(pods["a1"].inside, "198.18.0.99", 8080, read=True)
    assert seen.data.decode().split()[0] == hosts[0].address


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_the_life_of_a_sandbox(cluster, hosts, version):
    host = hosts[0]
    pod = cluster.prepare(host, "shop/life", role="client")
    code, added = host.cni("ADD", pod, version)
    assert (code, added["cniVersion"]) == (0, version)
    assert host.cni("ADD", pod, version) == (0, added)  # the same again: nothing new
    address = added["ips"][0]["address"].partition("/")[0]
    shown = json.loads(pod.inside.ip("-j", "address", "show", "eth0"))[0]
    assert shown["addr_info"][0]["local"] == address
    assert shown["address"] == added["interfaces"][1]["mac"]
    if version != "0.3.1":
        assert host.cni("CHECK", pod, version, prevResult=added) == (0, None)
        pod.inside.ip("address", "del", f"{address}/32", "dev", "eth0")
        code, error = host.cni("CHECK", pod, version, prevResult=added)
        assert (code, error["code"]) == (1, 101)
        assert f"eth0 of the pod lacks {address}" in error["msg"]
    for _ in range(2):  # once more is no error
        assert host.cni("DEL", pod, version) == (0, None)
    assert pod.inside.links() == {"lo"}
    assert f"{address}/32" not in {route["to"] for route in host.ask("routes")}
    cluster.within(2, lambda: host.ask("endpoints") == [])
    cluster.remove("pod-shop-life")
    pod.inside.delete()


def test_status_and_collection(cluster, hosts, pods):
    host = hosts[0]
    assert host.cni("STATUS", pods["a1"]) == (0, None)
    valid = [{"containerID": "sandbox-shop-b1", "ifname": "eth0"}]
    assert host.cni("GC", pods["a1"], **{"cni.dev/valid-attachments": valid}) == (0, None)
    cluster.within(2, lambda: [each["pod"] for each in host.ask("endpoints")] == ["shop/b1"])
    assert pods["a1"].inside.links() == {"lo"}


def test_a_namespace_that_is_not_there_leaves_nothing(cluster, hosts):
    host = hosts[0]
    pod = cluster.prepare(host, "shop/nowhere")
    pod.inside.delete()
    free = host.ask("status")["free_addresses"]
    code, error = host.cni("ADD", pod)
    assert (code, error["code"]) == (1, 11)
    assert "pod shop/nowhere cannot be attached: interface rom" in error["msg"]
    assert host.ask("status")["free_addresses"] == free
    cluster.within(2, lambda: host.ask("endpoints") == [])
    assert not [link for link in host.inside.links() if link.startswith("rom")]
    cluster.remove("pod-shop-nowhere")


def test_a_full_host_says_so(cluster, hosts):
    """With a directory of manifests the operator assigns blocks: the message says what to add."""
    host = hosts[1]
    cluster.write(
        "node-node2",
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node2"},
            "status": {"addresses": [{"type": "InternalIP", "address": "198.18.0.12"}]},
        },
    )
    pod = cluster.prepare(host, "shop/full")
    cluster.settle()
    cluster.within(2, lambda: not host.ask("status")["blocks"])
    code, error = host.cni("ADD", pod)
    assert (code, error["code"]) == (1, 102)
    assert "node2 has no block with a free address" in error["msg"]
    assert "AddressBlock" in error["details"]
    cluster.write(
        "block-node2",
        {
            "apiVersion": "romana.io/v1",
            "kind": "AddressBlock",
            "metadata": {"name": "10.112.0.128-25"},
            "spec": {"cidr": "10.112.0.128/25", "node": "node2"},
        },
    )
    cluster.within(2, lambda: host.ask("status")["blocks"])
    assert host.cni("ADD", pod)[0] == 0
    cluster.detach(pod)
    pod.inside.delete()


class Flood:
    """Datagrams from one namespace to addresses, as fast as they go; and what of them another one
    hears."""

    PORT = 9999

    def __init__(self, source, targets, listener):
        self.heard = []
        self._targets = targets
        self._listening = listener.open(kind=SOCK_DGRAM)
        self._listening.bind(("0.0.0.0", self.PORT))
        self._listening.settimeout(0.1)
        self._sending = source.open(kind=SOCK_DGRAM)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._listen, self._send)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()
        self._sending.close()

    def _listen(self):
        while not self._stop.is_set():
            with suppress(TimeoutError):
                self.heard.append(self._listening.recvfrom(100))

    def _send(self):
        while not self._stop.is_set():
            for target in self._targets:
                with suppress(OSError):  # before there is a route, or where nobody answers
                    self._sending.sendto(b"x", (target, self.PORT))


@pytest.mark.parametrize("role", ["closed", "open"])
@pytest.mark.parametrize("inward", [True, False])
def test_not_a_single_packet_passes_unjudged(cluster, hosts, pods, inward, role):
    """A pod sends, and is sent to, from before its interface exists. Under deny-all nothing
    arrives; without a policy the same flood does, so that the silence means something.
    """
    deny = {"podSelector": {"matchLabels": {"role": "closed"}}}
    cluster.policy("closed", {**deny, "policyTypes": ["Ingress", "Egress"]})
    cluster.settle()
    server = pods["b1"]
    pod = cluster.prepare(hosts[0], "shop/new", role=role)
    every = [f"10.112.0.{last}" for last in range(1, 127)]
    flood = (
        Flood(server.inside, every, pod.inside)
        if inward
        else Flood(pod.inside, [server.address], server.inside)
    )
    with flood:
        for _ in range(3):
            assert hosts[0].cni("ADD", pod)[0] == 0
            time.sleep(0.1)
            assert hosts[0].cni("DEL", pod)[0] == 0
    cluster.remove("pod-shop-new")
    pod.inside.delete()
    assert bool(flood.heard) is (role == "open")
