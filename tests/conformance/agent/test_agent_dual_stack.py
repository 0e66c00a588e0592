"""Pods with an address of each family."""

from __future__ import annotations

from ipaddress import ip_address

from romana.lab.probes import tcp

PORT = 81


def test_both_families_are_attached_and_judged(cluster, hosts):
    host = hosts[0]
    host.stop()
    cluster.cidrs = ["10.112.0.0/12", "fd00:112::/48"]
    block = {"apiVersion": "romana.io/v1", "kind": "AddressBlock"}
    metadata = {"name": "fd00x112xx-121"}
    spec = {"cidr": "fd00:112::/121", "node": host.name}
    cluster.write("block-six", {**block, "metadata": metadata, "spec": spec})
    host.start()
    pods = {name: cluster.attach(host, f"shop/{name}", role=name) for name in ("client", "server")}
    held = {each["pod"]: each["addresses"] for each in host.ask("endpoints")}
    six = {name: held[f"shop/{name}"][1] for name in pods}
    assert all(ip_address(address).version == 6 for address in six.values())
    cluster.responder.tcp(pods["server"].inside, PORT, "::")
    client = pods["client"].inside

    def reached():
        return [
            bool(tcp(client, to, PORT, timeout_s=0.5))
            for to in (pods["server"].address, six["server"])
        ]

    assert reached() == [True, True]
    assert tcp(host.inside, six["server"], PORT)
    server = {"podSelector": {"matchLabels": {"role": "server"}}}
    cluster.policy("guard", {**server, "policyTypes": ["Ingress"]})
    cluster.within(3, lambda: reached() == [False, False])
    assert tcp(host.inside, six["server"], PORT)
    only = {"from": [{"ipBlock": {"cidr": f"{six['client']}/128"}}]}
    cluster.policy("guard", {**server, "ingress": [only]})
    cluster.within(3, lambda: reached() == [False, True])
    for pod in pods.values():
        assert host.cni("CHECK", pod) == (0, None)
        cluster.detach(pod)
