"""The rules of iptables, read as a table and interpreted with sets of packets, are the intent."""

import dataclasses
import random
from ipaddress import ip_address, ip_network

import pytest
from xtables_kernel import random_admission

from romana.dataplane.denials import DenialLog
from romana.dataplane.nftables import Settings
from romana.dataplane.xtables.listing import Listing
from romana.dataplane.xtables.sets import IpSet, SetKey
from romana.dataplane.xtables.tables import HOOKS, MANGLE, render
from romana.policy.admission import (
    Admission,
    Direction,
    Endpoint,
    EndpointPrograms,
    Flow,
    Grant,
    Program,
)
from romana.verify.forms import UnknownForm
from romana.verify.intent import Intent, Masquerading
from romana.verify.proof import prove
from romana.verify.reading import table_of
from romana.verify.trace import trace

SETTINGS = Settings(
    pod_networks=tuple(map(ip_network, ("10.112.0.0/12", "fd00:112::/48"))),
    direct_networks=(ip_network("198.18.0.11/32"),),
)
MASQUERADING = Masquerading(
    pods=SETTINGS.pod_networks, direct=SETTINGS.direct_networks, enabled=True
)


def listed(tables):
    """What would be read back of tables."""
    return Listing(
        chains=tables.chains,
        hooks={key: frozenset(HOOKS[key[1]]) for key in tables.chains},
        sets=tables.sets,
    )


def admission(seed):
    """One with few endpoints: a proof looks at all pairs."""
    chance = random.Random(seed)
    while True:
        found = random_admission(chance)
        if 0 < len(found.endpoints) < 5 and any(each.grants for each in found.programs.values()):
            return found


def findings(listing, found):
    steps = prove(table_of(listing), Intent(found, "rom", MASQUERADING))
    return [str(each) for step in steps for each in step.findings]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_rendered_is_proven(seed):
    found = admission(seed)
    assert findings(listed(render(found, SETTINGS)), found) == []


def changed(listing, chain, *rules):
    of_family = {**listing.chains[4, MANGLE], chain: rules}
    return dataclasses.replace(listing, chains={**listing.chains, (4, MANGLE): of_family})


def test_a_rule_that_is_gone_is_found():
    found = admission(0)
    listing = listed(render(found, SETTINGS))
    rules = listing.chains[4, MANGLE]["ROMANA-FORWARD"]
    wrong = findings(changed(listing, "ROMANA-FORWARD", *rules[:2]), found)
    assert any("kernel admits" in each for each in wrong)


def test_a_hook_that_is_gone_is_found():
    found = admission(0)
    listing = listed(render(found, SETTINGS))
    without = dataclasses.replace(listing, hooks={})
    assert any("kernel admits" in each for each in findings(without, found))


def test_an_element_too_many_is_found():
    peer = int(ip_address("203.0.113.5"))
    program = Program(
        name="p",
        direction=Direction.INGRESS,
        policies=(),
        grants=frozenset((Grant(4, peer, peer, 6, 80, 80),)),
    )
    endpoint = Endpoint(interface="rom1", addresses=(ip_address("10.112.0.5"),), pod=("t", "t"))
    found = Admission(
        endpoints={"rom1": EndpointPrograms(endpoint=endpoint, ingress="p")},
        programs={"p": program},
    )
    tables = render(found, SETTINGS)
    key = SetKey(4, "ROMANA-I-p", "hp")
    elements = tables.sets[key].elements | {"203.0.113.9,tcp:443"}
    more = IpSet(type="hash:ip,port", family=4, elements=elements)
    listing = dataclasses.replace(listed(tables), sets={**tables.sets, key: more})
    assert findings(listed(tables), found) == []
    assert "kernel admits TCP 203.0.113.9 -> 10.112.0.5:443 (from eth0 to pod t/t)" in findings(
        listing, found
    )


def test_what_rules_and_elements_have_counted_is_told_on_the_way_of_a_connection():
    endpoint = Endpoint(interface="rom1", addresses=(ip_address("10.112.0.5"),), pod=("t", "t"))
    peer = int(ip_address("203.0.113.5"))
    program = Program(
        name="p",
        direction=Direction.INGRESS,
        policies=(),
        grants=frozenset((Grant(4, peer, peer, 6, 80, 80),)),
    )
    found = Admission(
        endpoints={"rom1": EndpointPrograms(endpoint=endpoint, ingress="p")},
        programs={"p": program},
    )
    tables = render(found, dataclasses.replace(SETTINGS, denial_log=DenialLog()))
    counts = {
        chain: tuple(range(10 * number, 10 * number + len(rules)))
        for number, (chain, rules) in enumerate(tables.chains[4, MANGLE].items(), 1)
    }
    denied = SetKey(4, "ROMANA-DENY-IN", "denied")
    counting = dataclasses.replace(tables.sets[denied], packets={"10.112.0.5,rom1": 4711})
    listing = dataclasses.replace(
        listed(tables),
        sets={**tables.sets, denied: counting},
        packets={(4, MANGLE): counts},
    )

    def told(port):
        ends = {"source": ip_address("203.0.113.5"), "destination": endpoint.addresses[0]}
        flow = Flow(**ends, protocol=6, port=port)
        return trace(table_of(listing), endpoint, Direction.INGRESS, flow)

    judged = counts["ROMANA-TO-POD"][-2]
    admits, denies = counts["ROMANA-I-p"]
    admitted = told(80)
    assert admitted.passes
    assert [tuple(each) for each in admitted.counters] == [
        ("judged", judged, "ROMANA-TO-POD/4"),
        ("admitted", admits, "hp of ROMANA-I-p/4"),
    ]
    refused = told(81)
    assert not refused.passes
    assert refused.counted == (
        f"packets counted on its way at rom1: {judged} judged for the pod, "
        f"{denies} not admitted by ROMANA-I-p/4, 4711 denied for the pod"
    )
    assert findings(listing, found) == []
    silent = trace(
        table_of(listed(tables)),
        endpoint,
        Direction.INGRESS,
        Flow(
            source=ip_address("203.0.113.5"), destination=endpoint.addresses[0], protocol=6, port=81
        ),
    )
    assert (silent.counters, silent.counted) == ((), "")


@pytest.mark.parametrize(
    "rule",
    [
        "-m limit --limit 1/sec -j DROP",
        "-m set --match-set @h src,src -j DROP",
        "-p gre -j DROP",
        "-j LOG",
        "-j TOMB",
        "-m mark --mark 1 -j DROP",
        "--dports 1:2 -j DROP",
        "-s nonsense -j DROP",
        "-s",
    ],
)
def test_a_rule_that_is_not_understood_proves_nothing(rule):
    listing = changed(listed(render(admission(0), SETTINGS)), "ROMANA-INVALID", rule)
    with pytest.raises(UnknownForm, match="rule in chain ROMANA-INVALID"):
        table_of(listing)


@pytest.mark.parametrize(
    "content",
    [
        IpSet(type="bitmap:ip", family=4),
        IpSet(type="hash:ip", family=6),
        IpSet(type="hash:ip", family=4, elements=frozenset(("10.0.0.1 timeout 5",))),
        IpSet(type="hash:net", family=4, elements=frozenset(("10.0.0.0/8 nomatch",))),
        IpSet(type="hash:ip,port", family=4, elements=frozenset(("10.0.0.1,gre:x",))),
    ],
    ids=str,
)
def test_a_set_that_is_not_understood_proves_nothing(content):
    listing = listed(render(admission(0), SETTINGS))
    sets = {SetKey(4, "ROMANA-I-p0", "h"): content}
    with pytest.raises(UnknownForm, match="set h of ROMANA-I-p0/4"):
        table_of(dataclasses.replace(listing, sets=sets))
