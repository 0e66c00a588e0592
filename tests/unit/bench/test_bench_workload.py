"""The policies: as many as wanted, none that adjoins another, and the last one matches."""

from itertools import product

import msgspec
import pytest

from romana.bench import shapes
from romana.bench.workload import ADDRESSES, CLIENT, MOST_POLICIES, PORT, allowed, policies
from romana.sources.files import read_content


@pytest.mark.parametrize("count", [0, 1, 2, 200, MOST_POLICIES])
def test_each_policy_has_its_own_port_and_the_last_one_the_servers(count):
    found = list(allowed(count))
    assert len(set(found)) == count
    places = {(each.protocol, each.port) for each in found}
    assert not places & {(protocol, port + 1) for protocol, port in places}
    assert all(0 < each.port < 65536 for each in found)
    if count:
        assert (found[-1].protocol, found[-1].port) == ("TCP", PORT)
        assert ("TCP", PORT) not in {(each.protocol, each.port) for each in found[:-1]}


def test_an_agent_reads_them():
    content = read_content((0, 0, 0), policies(300), "policies.json")
    assert content.invalid == ()
    assert len({obj.key for _, obj in content.objects}) == 300


LISTING = """\
Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)
    pkts      bytes target     prot opt in     out     source               destination
       9      540 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0   state EST
       3      180 ROMANA-T0-S0  all  --  *      rom1    0.0.0.0/0            0.0.0.0/0

Chain ROMANA-P-0 (1 references)
    pkts      bytes target     prot opt in     out     source               destination
       0        0 ACCEPT     6    --  *      *       10.112.0.5           0.0.0.0/0   tcp dpt:1025

Chain ROMANA-P-1 (1 references)
    pkts      bytes target     prot opt in     out     source               destination
       2      120 ACCEPT     6    --  *      *       10.112.0.5           0.0.0.0/0   tcp dpt:80

Chain ROMANA-T0-S0 (1 references)
    pkts      bytes target     prot opt in     out     source               destination
       3      180 ROMANA-P-0  all  --  *      *       0.0.0.0/0            0.0.0.0/0
       3      180 ROMANA-P-1  all  --  *      *       0.0.0.0/0            0.0.0.0/0
       1       60 DROP       all  --  *      *       0.0.0.0/0            0.0.0.0/0
"""


def test_counters_of_a_list_are_read():
    assert shapes.list_hits(LISTING) == (3, 3, 2)


def rule(chain, packets, **end):
    expressions = [{"counter": {"packets": packets, "bytes": 0}}, end]
    return {"rule": {"chain": chain, "expr": expressions}}


def test_counters_of_chains_are_read():
    items = [
        {"chain": {"name": "to-pod"}},
        rule("policy-0", 0, accept=None),
        rule("policy-1", 2, accept=None),
        rule("to-pod", 3, jump={"target": "policy-0"}),
        rule("to-pod", 3, jump={"target": "policy-1"}),
        rule("to-pod", 1, drop=None),
    ]
    listing = msgspec.json.encode({"nftables": items}).decode()
    assert shapes.chain_hits(listing) == (3, 3, 2)


@pytest.mark.parametrize(
    ("render", "count"), [*product((shapes.listed, shapes.chains), (0, 1, 50))]
)
def test_rules_try_every_policy_in_order_and_judge_nobody_without_one(render, count):
    text = render(allowed(count), ADDRESSES[CLIENT], "rom1")
    jumps = [line.split()[-1] for line in text.splitlines() if line.startswith("counter jump")]
    jumps += [line.split()[-1] for line in text.splitlines() if "-A ROMANA-T0-S0 -j ROMANA" in line]
    numbers = [int(each.rpartition("-")[2]) for each in jumps]
    assert numbers == list(range(count))
    assert ("rom1" in text) is (count > 0)
