"""Others' tables that judge pods' packets too are named, of whatever kind they are."""

import asyncio
import os
import shutil

import pytest

from romana.dataplane.foreign import foreign_chains
from romana.lab.namespaces import Lab

RULES = """
table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy drop; }
    chain INPUT { type filter hook input priority 0; policy drop; }
    chain plain { counter; }
}
table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority 10; policy accept; }
}
table inet romana {
    chain forward { type filter hook forward priority 0; policy drop; }
}
"""


@pytest.fixture
def host():
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    with Lab("rt-foreign") as lab:
        yield lab.namespace("host")


def look(host):
    return host.inside(lambda: asyncio.run(foreign_chains()))


def test_none(host):
    assert look(host) == ()


def test_chains_of_nftables_that_see_what_is_forwarded(host):
    host.run("nft", "-f", "-", stdin=RULES)
    dropping, accepting = look(host)
    assert str(dropping) == "chain FORWARD of table ip filter, policy drop"
    assert "set its policy to accept" in dropping.problem
    assert str(accepting) == "chain filter_FORWARD of table inet firewalld, policy accept"
    assert accepting.problem == ""
    assert accepting.as_json()["priority"] == 10


def test_the_old_iptables(host):
    if shutil.which("iptables-legacy") is None:
        pytest.skip("iptables-legacy is not installed")
    host.run("iptables-legacy", "-w", "-P", "FORWARD", "DROP")
    (found,) = look(host)
    assert str(found) == "chain FORWARD of table ip filter (iptables-legacy), policy drop"
