"""Facts from recorded output, and from this very machine."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from installer.errors import CommandFailed
from installer.hosts.fake import FakeHost
from installer.hosts.gather import SCRIPT, gather, parse

RECORDED = """\
clock 1795519711.5
hostname node1
machine_id 3d1219c7c4c5404aaa1f6d2a48adfda4
os_id debian
os_version 12
kernel 6.1.0-18-amd64
architecture x86_64
init systemd
uid 0
python 3.11
cpus 4
memory_kb 8155140
swap_kb 1048576
disk_free_kb 20480000
cgroup cgroup2fs
container systemd-nspawn
address lo 127.0.0.1/8
address host0 198.18.0.11/24
mtu lo 65536
mtu host0 1400
listening 22 sshd
listening 10250 kube let
module overlay
module veth
cni /etc/cni/net.d/10-romana.conflist
forward_policy DROP
package containerd 1.6.20~ds1-1+b1
"""
ADDRESS = IPv4Address("198.18.0.11")


def test_facts_are_read_from_lines() -> None:
    facts = parse(RECORDED, ADDRESS, 1795519710.0)
    assert (facts.hostname, facts.os_id, facts.os_version) == ("node1", "debian", "12")
    assert (facts.memory_mb, facts.swap_mb, facts.disk_free_mb) == (7964, 1024, 20000)
    assert (facts.interface, facts.mtu, facts.clock_offset_s) == ("host0", 1400, 1.5)
    assert facts.listening == ((22, "sshd"), (10250, "kube let"))
    assert (facts.init, facts.cgroup, facts.forward_policy) == ("systemd", "v2", "DROP")
    assert facts.packages == (("containerd", "1.6.20~ds1-1+b1"),)


def test_an_address_that_no_interface_holds_leaves_interface_and_mtu_empty() -> None:
    facts = parse(RECORDED, IPv4Address("198.18.0.99"), 0)
    assert (facts.interface, facts.mtu) == ("", 0)


@pytest.mark.parametrize("text", ["", "hostname x", RECORDED.replace("cpus 4", "cpus four")])
def test_what_is_not_facts_is_refused(text: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        parse(text, ADDRESS, 0)


def test_the_script_gathers_facts_of_this_machine(host: FakeHost) -> None:
    facts = gather(host, ADDRESS, lambda: 1000.0)
    assert facts.cpus >= 1
    assert facts.kernel
    assert host.scripts == [SCRIPT]


def test_a_host_that_answers_nonsense_is_told_with_what_to_do(host: FakeHost) -> None:
    host.path("/bin/ip").write_text("#!/bin/sh\necho nonsense")
    host.path("/bin/date").write_text("#!/bin/sh\necho today")
    for name in ("ip", "date"):
        host.path(f"/bin/{name}").chmod(0o755)
    with pytest.raises(CommandFailed, match="node1: its facts cannot be read"):
        gather(host, ADDRESS, lambda: 1000.0)
