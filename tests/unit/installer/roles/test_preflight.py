"""Preflight as a table: what is wrong with a host, and what is said about it."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from installer.cluster import Cluster
from installer.hosts.facts import Facts
from installer.releases import NEWEST
from installer.roles.preflight import examine, libraries, newest_release, notes, problems
from installer.roles.role import Target

Targets = Callable[..., Target]

CASES = [
    ("no root", {"uid": 1000}, "does not become root", "sudoers"),
    ("old system", {"os_id": "ubuntu", "os_version": "16.04"}, "python3 3.5", "Debian 12"),
    ("strange system", {"os_id": "plan9", "os_version": "4"}, "plan9 4 is not", "Ubuntu 24.04"),
    ("architecture", {"architecture": "riscv64"}, "riscv64 is not supported", "x86_64"),
    ("init", {"init": "unknown"}, "init system is unknown", "systemd"),
    ("kernel", {"kernel": "4.2.0-42"}, "kernel 4.2.0-42 is older than 4.3, which", "newer"),
    ("data plane", {"kernel": "5.4.0"}, "iptables, the kernel has no ip_set", "extra"),
    ("module", {"modules": ("overlay", "nf_tables", "veth")}, "no nf_conntrack", "extra"),
    ("swap", {"swap_mb": 1024}, "1024 MiB of swap", "swapoff -a"),
    ("port", {"listening": ((10250, "nginx"),)}, "port 10250 is in use by nginx", "stop nginx"),
    ("nameless port", {"listening": ((10250, ""),)}, "in use by another program", "stop"),
    ("memory", {"memory_mb": 300}, "300 MiB of memory, 512", "more memory"),
    ("disk", {"disk_free_mb": 100}, "100 MiB are free at /var/lib", "larger disk"),
    ("address", {"interface": ""}, "no interface holds its address 198.18.0.12", "`ssh_address`"),
    ("overlap", {"addresses": ("10.113.0.1/24",)}, "lies in the range of pods", "another range"),
    ("services", {"addresses": ("10.96.3.1/24",)}, "lies in the range of services", "another"),
    (
        "other network",
        {"cni_configs": ("/etc/cni/net.d/05-flannel.conflist",)},
        "05-flannel.conflist is another network's",
        "rm /etc/cni/net.d/05-flannel.conflist",
    ),
    (
        "network",
        {"addresses": ("198.18.0.12/24", "10.1.2.3/8")},
        "its network 10.0.0.0/8 overlaps pods",
        "another range",
    ),
    (
        "route",
        {"routes": (("198.18.0.0/24", "eth0"), ("10.96.0.0/13", "tun0"))},
        "a route to 10.96.0.0/13 by tun0, which overlaps services",
        "remove the route",
    ),
    (
        "segment",
        {"addresses": ("198.18.0.12/32",)},
        "does not reach c1 (198.18.0.11) of its segment default directly",
        "different segments",
    ),
    ("borrowed", {"addresses": ("198.18.0.12/24", "198.18.0.11/32")}, "the address of c1", "del"),
    ("links", {"links": ("lo", "eth0", "flannel.1")}, "left of another network, Flannel", "reboot"),
    ("nft", {"forward_drops": ("inet filter forward",)}, "chain inet filter forward", "nft list"),
    ("forward", {"forward_policy": "DROP"}, "FORWARD DROP", "iptables -P FORWARD ACCEPT"),
    ("clock", {"clock_offset_s": -31.0}, "31 s behind", "timesyncd"),
    ("clock ahead", {"clock_offset_s": 95.0}, "95 s ahead of", "timesyncd"),
    ("twin name", {"hostname": "c1"}, "same host name as c1", "hostnamectl"),
    ("twin id", {"machine_id": "id-c1"}, "same machine id as c1", "machine-id"),
    ("runtime", {"packages": (("containerd", "1.2.6"),)}, "containerd 1.2.6 is older", "upgrade"),
]


@pytest.mark.parametrize(
    ("changed", "what", "advice"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_one_problem(
    cluster: Cluster, facts: dict[str, Facts], changed: dict[str, object], what: str, advice: str
) -> None:
    seen = {**facts, "n1": replace(facts["n1"], **changed)}
    found = [problem for problem in examine(cluster, seen, "v1.20.2") if problem.where != "n2"]
    assert [problem.where for problem in found if what in problem.what] == ["n1"], found
    assert all(advice in problem.advice for problem in found if what in problem.what)
    assert all("\n" not in str(problem) for problem in found)


GOOD = [
    {},
    {"routes": (("10.112.0.0/12", "eth0"), ("10.112.0.5", "rom0123456789ab"))},
    {"links": ("lo", "eth0", "docker0", "rom0123456789ab")},
    {"listening": ((10250, "kubelet"), (10256, "kube-proxy"), (9607, "python3.11"), (22, "sshd"))},
    {"listening": ((6443, "haproxy"),)},
    {"cni_configs": ("/etc/cni/net.d/10-romana.conflist",)},
    {"swap_mb": 4096, "container": "systemd-nspawn", "cgroup": "v1"},
    {"cgroup": "v1"},
    {"clock_offset_s": 29.0},
    {"packages": (("containerd", "1.6.20~ds1-1+b1"),), "disk_free_mb": 800},
]


@pytest.mark.parametrize("changed", GOOD, ids=str)
def test_fit(cluster: Cluster, facts: dict[str, Facts], changed: dict[str, object]) -> None:
    assert examine(cluster, {**facts, "n1": replace(facts["n1"], **changed)}, "v1.20.2") == ()


def test_ports_of_the_control_plane_count_on_controllers_only(
    cluster: Cluster, facts: dict[str, Facts]
) -> None:
    seen = {
        name: replace(each, listening=((6443, "haproxy"), (10257, "x"), (2379, "etcd")))
        for name, each in facts.items()
    }
    found = examine(cluster, seen, "v1.20.2")
    assert [(problem.where, problem.what.split()[1]) for problem in found] == [
        ("c1", "6443"),
        ("c1", "10257"),
    ]


def test_programs_of_the_control_plane_are_known_by_fifteen_letters(
    cluster: Cluster, facts: dict[str, Facts]
) -> None:
    own = ((6443, "kube-apiserver"), (10257, "kube-controller"), (10259, "kube-scheduler"))
    seen = {**facts, "c1": replace(facts["c1"], listening=own)}
    assert examine(cluster, seen, "v1.20.2") == ()


def test_all_problems_of_all_hosts_at_once(cluster: Cluster, facts: dict[str, Facts]) -> None:
    seen = {name: replace(each, uid=1, memory_mb=10) for name, each in facts.items()}
    found = examine(cluster, seen, "v1.20.2")
    assert [problem.where for problem in found] == ["c1", "c1", "n1", "n1", "n2", "n2"]


def test_mtu(cluster: Cluster, facts: dict[str, Facts]) -> None:
    seen = {**facts, "n1": replace(facts["n1"], mtu=9001)}
    (found,) = examine(cluster, seen, "v1.20.2")
    assert (found.where, "mtu: 1500" in found.advice) == ("n1", True)
    settled = replace(cluster, network=replace(cluster.network, mtu=1500))
    assert examine(settled, seen, "v1.20.2") == ()
    greedy = replace(cluster, network=replace(cluster.network, mtu=8000))
    assert {problem.where for problem in examine(greedy, seen, "v1.20.2")} == {"c1", "n2"}


def test_mixed_architectures(cluster: Cluster, facts: dict[str, Facts]) -> None:
    seen = {**facts, "n2": replace(facts["n2"], architecture="aarch64")}
    (found,) = examine(cluster, seen, "v1.20.2")
    assert found.where == "n2"


def test_unreachable_hosts_are_left_out(cluster: Cluster, facts: dict[str, Facts]) -> None:
    assert examine(cluster, {"c1": facts["c1"]}, "v1.20.2") == ()
    assert examine(cluster, {}, "v1.20.2") == ()
    assert problems(()) == ()


def test_problems_of_targets(target: Targets) -> None:
    assert problems([target("c1"), target("n1")]) == ()
    assert len(problems([target("c1"), target("n1", uid=5)])) == 1


def test_swap_in_a_container_is_said(facts: dict[str, Facts], cluster: Cluster) -> None:
    assert notes(cluster, facts) == ()
    seen = {**facts, "n1": replace(facts["n1"], swap_mb=5, container="lxc")}
    assert "n1" in notes(cluster, seen)[0]


TRUSTY = {
    "os_id": "ubuntu",
    "os_version": "14.04",
    "init": "upstart",
    "cgroup": "v1",
    "python": "3.4",
    "modules": ("overlay", "nf_conntrack", "ip_tables", "ip_set", "veth"),
}


@pytest.mark.parametrize(
    ("kernel", "version", "what", "advice"),
    [
        ("4.4.0-148-generic", "v1.20.2", "", ""),
        ("4.4.0-148-generic", "v1.31.9", "", ""),
        ("4.4.0-148-generic", "v1.32.0", "older than 4.19", "use kubernetes: v1.31.x or older"),
        ("3.13.0-24-generic", "v1.20.2", "control group `pids`", "linux-generic-lts-xenial"),
        (
            "3.13.0-24-generic",
            "v1.34.1",
            "older than 4.19",
            "linux-generic-lts-xenial, then reboot, and use kubernetes: v1.31.x or older",
        ),
    ],
)
def test_ubuntu_14_04(
    cluster: Cluster,
    facts: dict[str, Facts],
    kernel: str,
    version: str,
    what: str,
    advice: str,
) -> None:
    seen = {**facts, "n1": replace(facts["n1"], kernel=kernel, **TRUSTY)}
    found = [problem for problem in examine(cluster, seen, version) if problem.where == "n1"]
    assert [what in each.what and advice in each.advice for each in found] == [True] * bool(what)


def test_apt_of_2014_speaks_no_https(cluster: Cluster, facts: dict[str, Facts]) -> None:
    seen = {**facts, "n1": replace(facts["n1"], kernel="4.4.0", **TRUSTY)}
    moved = replace(cluster, package_mirror="https://old.example.net/ubuntu")
    (found,) = examine(moved, seen, "v1.20.2")
    assert found.where == "n1"
    assert "use http://old.example.net/ubuntu (packages are signed)" in found.advice


def test_a_kernel_without_overlay_is_told(cluster: Cluster, facts: dict[str, Facts]) -> None:
    seen = {"n1": replace(facts["n1"], modules=("nf_conntrack",))}
    assert "files are copied" in notes(cluster, seen)[0]


def test_segments_are_what_hosts_reach_directly(cluster: Cluster, facts: dict[str, Facts]) -> None:
    """n1 is in another segment than its neighbours; its gateway is on no network of its own."""
    c1, n1, n2 = cluster.hosts
    gateway = IPv4Address("198.51.100.1")
    other = replace(cluster, hosts=(c1, replace(n1, segment="rack-2", gateway=gateway), n2))
    said = {f"{each.where}: {each.what}" for each in examine(other, facts, "v1.20.2")}
    assert said == {
        "c1: it reaches n1 (198.18.0.12) of segment rack-2 directly, and is itself in default",
        "n1: it reaches c1 (198.18.0.11) of segment default directly, and is itself in rack-2",
        "n1: it reaches n2 (198.18.0.13) of segment default directly, and is itself in rack-2",
        "n1: the gateway 198.51.100.1 of its segment is on none of its networks",
        "n2: it reaches n1 (198.18.0.12) of segment rack-2 directly, and is itself in default",
    }
    there = replace(n1, segment="rack-2", gateway=gateway, address=IPv4Address("198.51.100.12"))
    seen = {**facts, "n1": replace(facts["n1"], addresses=("198.51.100.12/24",))}
    assert examine(replace(cluster, hosts=(c1, there, n2)), seen, "v1.20.2") == ()


def test_hosts_with_an_older_library_are_told(facts: dict[str, Facts]) -> None:
    old = replace(facts["n1"], os_id="ubuntu", os_version="14.04")
    (found,) = libraries({**facts, "n1": old}, {"kubelet": (2, 28)}, "v1.28.1")
    assert found.where == "n1"
    assert found.what == "kubelet v1.28.1 needs glibc 2.28, and Ubuntu 14.04 has 2.19"
    assert libraries({**facts, "n1": old}, {"kubelet": (2, 17)}, "v1.28.1") == ()


def test_the_newest_release_is_one_that_all_hosts_run(facts: dict[str, Facts]) -> None:
    assert newest_release(facts) == newest_release({}) == NEWEST
    old = replace(facts["n1"], kernel="4.4.0-148-generic", cgroup="v1")
    assert newest_release({**facts, "n1": old}) == 31
    # One that none runs on is preflight's to tell of.
    assert newest_release({"n1": replace(old, kernel="3.13.0-24-generic")}) == NEWEST
