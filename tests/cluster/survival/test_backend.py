"""The inventory names another backend for the policies, and the cluster's hosts change to it."""

import json

import pytest

HOSTS = ("controller", "node1", "node2")
IPTABLES, NFTABLES = (("--set", f"network.backend={each}") for each in ("iptables", "nftables"))
QUICK = ("--set", "cluster.smoke=false")
OURS = (
    "nft list tables | grep -c 'inet romana$' || :; iptables-save -t mangle | grep -c ROMANA || :"
)


@pytest.fixture
def cluster(installed):
    """The shared cluster, which is as it was afterwards."""
    yield installed
    for words in (NFTABLES, ()):  # auto stays with what it finds
        assert installed.sandbox(*words, *QUICK).code == 0
    assert installed.sandbox("--check").code == 0


def backends(cluster):
    """What each host's agent says of its backend, and what is in each one's kernel: whether there
    is a table of nftables, and of iptables."""
    told, present = set(), set()
    for host in HOSTS:
        told.add(json.loads(cluster.on(host, "romana status --json"))["backend"].split()[0])
        present.add(tuple(count != "0" for count in cluster.on(host, OURS).split()))
    return told, present


def changed(ended):
    """What a run has changed, and on how many hosts."""
    found = [resource for _, _, resource in ended.results("changed")]
    return {each: found.count(each) for each in found if not each.startswith("package:")}


def test_the_backend_changes_with_the_inventory(cluster):
    assert backends(cluster) == ({"nftables"}, {(True, False)})
    for words, name, present, smoke in (
        (IPTABLES, "iptables", (False, True), ()),
        (NFTABLES, "nftables", (True, False), QUICK),
    ):
        ended = cluster.sandbox(*words, *smoke)
        assert ended.code == 0, ended.err
        assert changed(ended) == {"file:/etc/romana/agent.yml": 3, "service:romana-agent": 3}
        assert smoke or all(check["passed"] for check in ended.of("CheckResult"))
        assert bool(ended.of("CheckResult")) is not bool(smoke)
        assert backends(cluster) == ({name}, {present})
        again = cluster.sandbox(*words, *QUICK)
        assert again.code == 0
        assert again.results("changed", "failed", "skipped", "unreachable") == {}
