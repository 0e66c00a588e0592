"""All that the iptables backend writes, held against what iptables 1.4.21, ipset 6.20 and Linux
3.13 know: a table of what which release brought."""

import random
from ipaddress import ip_network

import pytest
from netfilter_2014 import (
    IPTABLES,
    MATCHES,
    SETS,
    TARGETS,
    too_new,
    wrong_in_command,
    wrong_in_rule,
    wrong_in_set,
)
from xtables_kernel import random_admission

from romana.dataplane.denials import DenialLog
from romana.dataplane.nftables import Settings
from romana.dataplane.xtables.sets import IpSet, creation
from romana.dataplane.xtables.tables import HOOKS, Renderer
from romana.dataplane.xtables.variant import Variant

PODS = (ip_network("10.112.0.0/12"), ip_network("fd00:112::/48"))
DIRECT = (ip_network("198.18.0.0/15"), ip_network("0.0.0.0/0"))
SETTINGS = [
    Settings(pod_networks=PODS, direct_networks=DIRECT),
    Settings(pod_networks=PODS[:1], direct_networks=(), masquerade=False),
    Settings(pod_networks=PODS, denial_log=DenialLog()),
]


@pytest.mark.parametrize("seed", range(25))
def test_everything_rendered_is_known_there(seed):
    tables = Renderer(SETTINGS[seed % 3]).render(random_admission(random.Random(seed)))
    for (_, table), chains in tables.chains.items():
        own = frozenset(chains)
        for chain, rules in chains.items():
            assert len(chain) <= 28
            for rule in rules:
                assert list(wrong_in_rule(rule, own)) == []
        for hook in HOOKS[table]:
            assert list(wrong_in_rule(hook.partition(" ")[2], own)) == []
    for content in tables.sets.values():
        verb, _, kind, options = next(iter(creation("ROMANA-x", content))).split(" ", 3)
        assert verb == "create"
        assert list(wrong_in_set(kind, options)) == []
    assert tables.chains


@pytest.mark.parametrize("family", [4, 6])
def test_every_command_is_known_there(family):
    old = Variant(version=IPTABLES)
    for words in (old.iptables(family), old.save(family, "mangle"), old.restore(family)):
        assert list(wrong_in_command(words)) == []
    # Where the program is newer, what it then knows is used: the table tells the two apart.
    assert list(wrong_in_command(Variant(version=(1, 8, 7)).restore(family)))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("-j MASQUERADE --random-fully", "1.6.2"),
        ("-m cgroup --path x -j DROP", "1.6.0"),
        ("-m hashlimit --hashlimit-rate-match -j DROP", "1.8.0"),
        ("-m socket --nowildcard -j DROP", "-m socket: no match"),
        ("--ctstate NEW -j DROP", "--ctstate: not known"),
        ("-j NFLOG --nflog-size 64", "1.6.0"),
        ("-j NOWHERE", "no match, target or chain"),
        ("-g DROP", "no match, target or chain"),
    ],
)
def test_what_is_too_new_is_found(rule, says):
    assert says in next(wrong_in_rule(rule, frozenset(("ROMANA-X",))))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("hash:ip,mark", "family inet", "6.21"),
        ("hash:net", "family inet bucketsize 12", "7.8"),
        ("hash:net", "family inet skbinfo", "6.22"),
        ("hash:x", "", "no kind"),
        ("hash:ip", "family inet netmask6 64", "no option"),
    ],
)
def test_sets_that_are_too_new_are_found(kind, options, says):
    assert says in next(wrong_in_set(kind, options))


def test_the_table_knows_more_than_is_allowed():
    """Or it could not refuse anything by its release."""
    entries = [each for group in (MATCHES, TARGETS) for each in group.values()]
    releases = [since for options in entries for since, _ in options.values()]
    assert any(too_new(since, IPTABLES) for since in releases)
    assert any(too_new(since, (6, 20)) for since in SETS.values())
    assert next(iter(creation("n", IpSet(type="hash:ip", family=4)))).startswith("create n hash:ip")
