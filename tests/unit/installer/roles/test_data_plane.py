"""What a host needs for the backend of the inventory, and what is said where it lacks that."""

from dataclasses import replace

import pytest

from installer.cluster import Cluster
from installer.hosts.facts import Facts
from installer.roles import data_plane
from installer.roles.base import modules, packages
from installer.roles.network import network
from installer.roles.preflight import examine

MODULES = ("overlay", "nf_conntrack", "veth", "nf_tables", "ip_tables", "ip_set")
TRUSTY = {"os_id": "ubuntu", "os_version": "14.04", "kernel": "4.4.0-148-generic"}
OLD = {"kernel": "5.4.0"}


@pytest.mark.parametrize(
    ("changed", "wanted", "chosen"),
    [
        ({}, "auto", "nftables"),
        ({}, "iptables", "iptables"),
        (OLD, "auto", "iptables"),
        (OLD, "nftables", "nftables"),
        (TRUSTY, "auto", "iptables"),
        ({"os_id": "debian", "os_version": "11"}, "auto", "iptables"),
        ({"os_id": "plan9"}, "auto", "nftables"),
    ],
)
def test_the_backend(facts: dict[str, Facts], changed, wanted, chosen) -> None:
    assert data_plane.backend(replace(facts["n1"], **changed), wanted) == chosen


@pytest.mark.parametrize(
    ("changed", "wanted", "what", "advice"),
    [
        ({}, "auto", "", ""),
        ({}, "iptables", "", ""),
        (TRUSTY, "auto", "", ""),
        (
            TRUSTY,
            "nftables",
            "for the policies' backend, nftables, Ubuntu 14.04 has no nft, not 1.0"
            " and kernel 4.4.0-148-generic is older than 5.6",
            "use network.backend: iptables",
        ),
        (
            OLD,
            "nftables",
            "for the policies' backend, nftables, kernel 5.4.0 is older than 5.6",
            "use network.backend: iptables",
        ),
        (
            {"modules": ("overlay", "nf_conntrack", "veth", "nf_tables")},
            "iptables",
            "for the policies' backend, iptables, the kernel has no ip_set",
            "modules-extra-$(uname -r)), or use network.backend: nftables",
        ),
        (
            {"modules": ("overlay", "nf_conntrack", "veth")},
            "auto",
            "for the policies' backend, nftables, the kernel has no nf_tables",
            "linux-modules-extra-$(uname -r))",
        ),
        (
            {"modules": ("overlay", "nf_conntrack", "veth", "ip_tables", "ip_set"), **TRUSTY},
            "iptables",
            "",
            "",
        ),
    ],
)
def test_what_a_host_lacks_is_one_line(
    cluster: Cluster, facts: dict[str, Facts], changed, wanted, what, advice
) -> None:
    asked = replace(cluster, network=replace(cluster.network, backend=wanted))
    seen = {"n1": replace(facts["n1"], **{"modules": MODULES, **changed})}
    found = [each for each in examine(asked, seen, "v1.20.2") if "backend" in each.what]
    assert [each.what for each in found] == ([what] if what else [])
    assert all(each.advice.endswith(advice) for each in found)


@pytest.mark.parametrize(
    ("wanted", "more", "module"),
    [("auto", False, "nf_tables"), ("iptables", True, "xt_set"), ("nftables", False, "nf_tables")],
)
def test_a_host_is_made_ready_for_its_backend(target, wanted, more, module) -> None:
    made = target("n1")
    network_of = replace(made.cluster.network, backend=wanted)
    made = replace(made, cluster=replace(made.cluster, network=network_of))
    assert ("ipset" in packages(made)) is more
    assert {"nftables", "iptables", "conntrack"} <= set(packages(made))  # to clear up, both ways
    assert module in modules(made)
    (config,) = [each for each in network(made) if each.id == "file:/etc/romana/agent.yml"]
    assert f"\nbackend: {wanted}\n" in config.data.decode()


def test_ipset_is_named_once_where_every_host_has_it(target) -> None:
    assert packages(target("n1", **TRUSTY, init="upstart")).count("ipset") == 1
