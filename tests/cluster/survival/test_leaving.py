"""Hosts come and go with the inventory, and in the end the cluster leaves them all: each is then
what it was before, with all that was there before."""

import json
import shlex
import subprocess

import pytest
from documented import Page

from installer.images import BUSYBOX

GROW, LEAVE = Page("operations.md", section="Grow and shrink"), Page("operations.md", "Leave")
pytestmark = GROW.mark
QUICK = ("--set", "cluster.smoke=false", "--json")
THEIRS = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends conntrack iptables nftables >/dev/null 2>&1
nft add table inet theirs
nft 'add chain inet theirs input { type filter hook input priority 0; policy accept; }'
nft add rule inet theirs input tcp dport 9999 drop
iptables -A INPUT -p tcp --dport 9998 -j DROP
ip route add blackhole 203.0.113.0/24
mkdir -p /opt/theirs /opt/cni/bin
echo theirs >/opt/theirs/file
echo theirs >/opt/cni/bin/theirs
echo 'theirs: yes' >/etc/crictl.yaml
chmod 600 /etc/crictl.yaml
printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n' \
  >/etc/systemd/system/theirs.service
systemctl daemon-reload
systemctl start theirs
"""
"""What is on a host before us, some of it under names that we use."""
HELD = r"""
export LC_ALL=C
where='/etc /opt /root /usr /var/lib /var/log/pods /var/log/containers'
find $where -xdev -printf 'file %p %y %m %u:%g %l\n' 2>/dev/null || :
find /etc /opt /root /usr/local /var/lib -xdev -type f -exec sha256sum {} +
find /run -xdev -mindepth 1 -maxdepth 2 -printf 'run %p %y %m %u:%g\n'
dpkg-query -W -f='package ${db:Status-Abbrev} ${Package} ${Version}\n'
systemctl list-unit-files --no-legend --no-pager
systemctl list-units --all --no-legend --no-pager --plain --state=active,failed |
  awk '{ print "unit", $1, $3, $4 }'
if command -v nft >/dev/null; then nft list tables; nft -s list table inet theirs; fi
if command -v iptables-save >/dev/null; then iptables-save | grep '^-A' || :; fi
ip -o link | sed 's/^[0-9]*: /link /; s/[@:].*//'
for family in -4 -6; do ip $family route show table all | grep -v fe80 || :; done
awk '{ print "mount", $2, $3 }' /proc/mounts
cat /etc/passwd /etc/group
cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/route_localnet
"""
ALLOWED = (
    "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-",  # their tools' own copies
    "/etc/subgid-", "/etc/subuid-",
    "/var/lib/apt/", "/var/lib/dpkg/", "/var/lib/systemd/", "/var/lib/ucf",
    "/run/adduser", "/run/systemd", "/run/user", "/run/log", "/run/lock", "/run/utmp",
    "/run/dbus", "/run/sshd", "/run/credentials", "/run/sudo",
    "unit session-", "unit user", "unit network-online.target", "unit systemd-", "unit run-",
    "unit init.scope", "unit ssh@", "unit proc-sys", "unit dbus",
)  # fmt: skip
"""What may differ: what package tools and systemd write on their own account."""


@pytest.fixture(scope="module")
def house(operator, tmp_path_factory):
    """Three hosts, one of them in use by somebody else, and a cluster on the other two."""
    with operator("pytest-leaving", tmp_path_factory.mktemp("leaving")) as found:
        made = found.sandbox("-c", "2", "--set", "network.mtu=9000")
        assert "MTU" in made.err
        found.on("node2", THEIRS)
        leaders = {host: found.leader(host) for host in ("node1", "node2")}
        before = {host: held(leader) for host, leader in leaders.items()}
        installed = found.sandbox("-c", "1", *QUICK)
        assert installed.code == 0, installed.err
        yield found, leaders, before


def held(leader):
    """All that a host holds, a line each; also of one that is in the inventory no more."""
    words = ("nsenter", "-t", str(leader), "-a", "sh", "-euc", HELD)
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def differing(before, after):
    """What is not as before, apart from what may differ."""
    return sorted(
        f"{sign} {line}"
        for sign, lines in (("-", before - after), ("+", after - before))
        for line in lines
        if not any(word in line for word in ALLOWED)
    )


def typed(operator, page, line, *options):
    """A command of the page, at this cluster."""
    _, verb, *words = shlex.split(line)
    ended = operator.run(verb, *words, "--yes", *options)
    page.ran(line, ended.code)
    return ended


def test_a_node_joins_and_nothing_changes_elsewhere(house):
    operator, _, _ = house
    grown = typed(operator, GROW, "romana-install sandbox -c 2", *QUICK)
    assert grown.code == 0, grown.err
    assert {host for host, _, _ in grown.results("changed", "failed")} == {"node2"}
    print(f"one node more: {grown.of('Recap')[-1]['seconds']:.1f} s")


def test_a_node_leaves_and_its_host_is_what_it_was(house, eventually):
    operator, leaders, before = house
    operator.kubectl("apply", "-f", "-", stdin=json.dumps(workload()))
    operator.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")
    (block,) = blocks(operator, "node2")
    assert block in operator.on("node1", "ip route show proto 82")
    checked = typed(operator, GROW, "romana-install sandbox -c 1 --check", *QUICK)
    assert checked.code == 2
    assert any("would let node2 leave" in notice["text"] for notice in checked.of("Notice"))
    left = typed(operator, GROW, "romana-install sandbox -c 1", *QUICK)
    assert left.code == 0, left.err
    print(f"one node less: {left.of('Recap')[-1]['seconds']:.1f} s")
    assert {host for host, _, _ in left.results("changed", "failed")} == {"node2"}
    nodes = operator.kubectl("get", "nodes", "-o", "name").split()
    assert sorted(nodes) == ["node/controller", "node/node1"]
    assert blocks(operator, "node2") == []
    eventually(60, lambda: block not in operator.on("node1", "ip route show proto 82"))
    assert not (operator.state / "pki/hosts/node2").exists()
    assert differing(before["node2"], held(leaders["node2"])) == []
    operator.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")


def test_the_only_controller_is_not_taken_by_mistake(house):
    operator, _, _ = house
    refused = operator.run("reset", "--limit", "controller", "--yes")
    assert refused.code == 1
    assert "would have 0 of 1 controllers" in refused.err
    assert "--give-up" in refused.err


def test_without_a_terminal_it_needs_a_yes(house):
    operator, _, _ = house
    asked = operator.run("reset", "--json")
    assert asked.code == 2
    assert asked.results("changed") == {}


def test_a_cluster_lives_on_without_a_host_that_is_reset(house):
    operator, leaders, before = house
    gone = typed(operator, LEAVE, "romana-install reset --limit node1", "--json")
    assert gone.code == 0, gone.err
    assert {host for host, _, _ in gone.results("changed", "failed")} == {"node1"}
    print(f"one host reset: {gone.of('Recap')[-1]['seconds']:.1f} s")
    assert operator.kubectl("get", "nodes", "-o", "name").split() == ["node/controller"]
    assert blocks(operator, "node1") == []
    assert differing(before["node1"], held(leaders["node1"])) == []


def test_a_reset_that_is_killed_is_taken_up_by_the_next(house):
    operator, _, _ = house
    checked = typed(operator, LEAVE, "romana-install reset --check --diff", "--json")
    assert checked.code == 2
    with operator.begin("reset", "--yes", "--json") as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "Progress" and event["what"].startswith("network: "):
                break
        process.kill()
    gone = typed(operator, LEAVE, "romana-install reset", "--json")
    assert gone.code == 0, gone.err
    print(f"the rest reset: {gone.of('Recap')[-1]['seconds']:.1f} s")
    again = operator.run("reset", "--yes", "--json")
    assert again.code == 0
    assert again.results("changed", "failed") == {}
    left = "ls -d /etc/kubernetes /opt/romana /var/lib/romana /var/lib/etcd/* 2>/dev/null || :"
    assert operator.on("controller", left) == ""


def workload():
    """Pods on all nodes, with a port of the host's."""
    container = {
        "name": "c",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }


def blocks(operator, node):
    """The address blocks of a node."""
    listed = json.loads(operator.kubectl("get", "addressblocks", "-o", "json"))["items"]
    return [each["spec"]["cidr"] for each in listed if each["spec"]["node"] == node]
