"""The lab itself, on the real kernel: it joins hosts, leaves the root namespace alone, and goes."""

import signal
import subprocess
import sys
import textwrap
from ipaddress import IPv4Network

import pytest

from romana.lab import leftovers, probes
from romana.lab.command import LabError, ip
from romana.lab.exclusive import hold
from romana.lab.namespaces import Lab
from romana.lab.naming import Segment
from romana.lab.probes import Outcome
from romana.lab.responder import Responder

PREFIX = "rt-lab"


@pytest.fixture(scope="module", autouse=True)
def _alone():
    """These tests look at what is left after a lab: not while another run of them makes one."""
    with hold(f"{PREFIX}-tests"):
        yield


@pytest.fixture
def lab():
    before = ip("-o", "address")
    with Lab(PREFIX) as made:
        yield made
    assert not leftovers.find(PREFIX)
    assert ip("-o", "address") == before, "the root namespace's links and addresses are untouched"


@pytest.fixture
def responder():
    with Responder() as made:
        yield made


def test_hosts_see_each_other_and_there_is_no_way_out(lab, responder):
    one, two = lab.host("node1", "198.18.0.11"), lab.host("node2", "198.18.0.12")
    responder.tcp(two, 80)
    responder.udp(two, 53)
    assert one.links() == two.links() == {"lo", "eth0"}
    assert probes.tcp(one, "198.18.0.12", 80, read=True).data.split()[0] == b"198.18.0.11"
    assert probes.udp(one, "198.18.0.12", 53).data.split()[0] == b"198.18.0.11"
    responder.sctp(two, 9)
    assert probes.sctp(one, "198.18.0.12", 9)
    assert probes.sctp(one, "198.18.0.12", 10, timeout_s=0.2).outcome is not Outcome.CONNECTED
    assert probes.tcp(one, "198.18.0.12", 81).outcome is Outcome.REFUSED
    assert probes.udp(one, "198.18.0.12", 54).outcome is Outcome.REFUSED
    assert probes.tcp(one, "203.0.113.1", 80).outcome is Outcome.UNREACHABLE


def test_what_is_dropped_times_out(lab, responder):
    one, two = lab.host("node1", "198.18.0.11"), lab.host("node2", "198.18.0.12")
    responder.tcp(two, 80)
    rules = "table inet t { chain c { type filter hook input priority 0; policy drop; }; }"
    two.run("nft", "-f", "-", stdin=rules)
    assert probes.tcp(one, "198.18.0.12", 80, timeout_s=0.2).outcome is Outcome.TIMED_OUT
    assert probes.udp(one, "198.18.0.12", 80, timeout_s=0.2).outcome is Outcome.TIMED_OUT


def test_connection_tracking_takes_raw_sctp_for_real(lab, responder):
    one, two = lab.host("node1", "198.18.0.11"), lab.host("node2", "198.18.0.12")
    responder.sctp(two, 9)
    rules = """table inet t { chain c {
        type filter hook input priority 0; policy drop;
        ct state new sctp dport 9 counter accept
    }
    }"""
    two.run("nft", "-f", "-", stdin=rules)
    assert probes.sctp(one, "198.18.0.12", 9)
    assert "packets 1 " in two.run("nft", "list", "ruleset")


def test_segments_are_routed_by_the_lab(lab, responder):
    far = lab.segment(Segment(name="rack-2", network=IPv4Network("198.18.1.0/24")))
    one, two = lab.host("node1", "198.18.0.11"), lab.host("node2", "198.18.1.11", far)
    responder.tcp(two, 80)
    assert probes.tcp(one, "198.18.1.11", 80, read=True).data.split()[0] == b"198.18.0.11"


def test_an_open_connection_is_echoed(lab, responder):
    one, two = lab.host("node1", "198.18.0.11"), lab.host("node2", "198.18.0.12")
    responder.tcp(two, 80)
    with one.connect("198.18.0.12", 80, timeout_s=2) as link:
        link.settimeout(2)
        link.recv(64)
        link.sendall(b"still there?")
        assert link.recv(64) == b"still there?"


async def test_commands_in_an_event_loop(lab):
    host = lab.host("node1", "198.18.0.11")
    assert "198.18.0.11/24" in await host.run_async("ip", "address", "show", "dev", "eth0")
    assert await host.run_async("cat", stdin="through") == "through"
    with pytest.raises(LabError, match="exit 2: no"):
        await host.run_async("sh", "-c", "echo no >&2; exit 2")
    with pytest.raises(LabError, match="no end within"):
        await host.run_async("sleep", "30", timeout_s=0.05)


def test_host_converges_after_its_link_was_lost(lab):
    host = lab.host("node1", "198.18.0.11")
    host.ip("link", "del", "eth0")
    again = lab.host("node1", "198.18.0.11")
    assert again == host
    assert probes.tcp(again, "198.18.0.1", 80).outcome is Outcome.REFUSED


def test_a_host_made_anew_is_reached_at_once(lab, responder):
    one, two = lab.host("node1", "198.18.0.11"), lab.host("node2", "198.18.0.12")
    responder.tcp(two, 80)
    assert probes.tcp(one, "198.18.0.12", 80)
    two.delete()
    two = lab.host("node2", "198.18.0.12")
    responder.tcp(two, 80)
    assert probes.tcp(one, "198.18.0.12", 80), "no neighbour keeps an outdated link-layer address"


def test_a_killed_run_is_cleared_by_the_next():
    script = f"""
        from romana.lab.namespaces import Lab
        lab = Lab({PREFIX!r}).ensure()
        lab.host("node1", "198.18.0.11").popen("sleep", "1000")
        print("up", flush=True)
        lab.inside(input)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout.readline() == b"up\n"
        run.send_signal(signal.SIGKILL)
    left = leftovers.find(PREFIX)
    assert left.namespaces == (PREFIX, f"{PREFIX}.node1")
    assert len(left.processes) == 1
    with Lab(PREFIX):
        assert leftovers.find(PREFIX).namespaces == (PREFIX,)
    assert not leftovers.find(PREFIX)


def test_interrupt_tears_down():
    def interrupted():
        with Lab(PREFIX) as lab, lab.namespace("pod-a").running("sleep", "1000"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not leftovers.find(PREFIX)
