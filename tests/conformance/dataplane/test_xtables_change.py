"""Changes of iptables and ipset in the kernel, on both kinds of iptables: drift, failure, what is
others'."""

import dataclasses
import os
import stat
import textwrap

import pytest

from romana.dataplane import NETFILTER, Listener, RulesetError
from romana.dataplane.xtables.tables import MANGLE
from romana.policy.admission import Direction

BACKENDS = ("nft", "legacy")
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
A, B = "10.112.0.5", "10.112.0.6"


def isolated(host):
    """A host with one pod that admits B."""
    host.pod("a", A)
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant(f"{B}/32")))
    host.enforce()


def own_set(host, start):
    """The name in the kernel of a set of ours."""
    names = host.namespace.run("ipset", "list", "-n").split()
    return next(each for each in names if each.startswith(f"ROMANA-{start}-"))


def damaging(host, words):
    """A command, with IPTABLES and SET{start} in it replaced."""
    found = []
    for word in words.split():
        if word == "IPTABLES":
            word = f"iptables-{host.kind}"
        elif word.startswith("SET:"):
            word = own_set(host, word[4:])
        found.append(word)
    return found


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            "IPTABLES -t mangle -F FORWARD",
            "first rule of mangle of IPv4: missing FORWARD -j ROMANA",
        ),
        (
            "IPTABLES -t mangle -I FORWARD -j ACCEPT",
            "first rule of mangle of IPv4: missing FORWARD",
        ),
        ("IPTABLES -t mangle -F ROMANA-TO-POD", "chain ROMANA-TO-POD in mangle of IPv4: missing"),
        (
            "IPTABLES -t mangle -I ROMANA-I-p -j ACCEPT",
            "chain ROMANA-I-p in mangle of IPv4: foreign -j ACCEPT",
        ),
        ("IPTABLES -t mangle -N ROMANA-MORE", "chain ROMANA-MORE in mangle of IPv4: foreign"),
        ("IPTABLES -t mangle -F", "chain ROMANA-FORWARD in mangle of IPv4: missing"),
        (
            "IPTABLES -t nat -F ROMANA-POSTROUTING",
            "chain ROMANA-POSTROUTING in nat of IPv4: missing",
        ),
        ("IPTABLES -t nat -F POSTROUTING", "first rule of nat of IPv4: missing POSTROUTING"),
        ("ipset flush SET:p-h", f"set h of ROMANA-I-p for IPv4: missing {B}"),
        ("ipset add SET:p-h 10.9.9.9", "set h of ROMANA-I-p for IPv4: foreign 10.9.9.9"),
        ("ipset create ROMANA-more hash:ip", "set ROMANA-more: foreign"),
    ],
    ids=str,
)
def test_drift_is_noticed_told_and_repaired(host, damage, said):
    isolated(host)
    assert host.do(host.backend.drift(host.ruleset)) == ()
    host.namespace.run(*damaging(host, damage))
    assert said in "\n".join(map(str, host.do(host.backend.drift(host.ruleset))))
    host.do(host.backend.replace(host.ruleset))
    assert host.do(host.backend.drift(host.ruleset)) == ()


def foreign(host):
    """All that there is, without counters and dates."""
    iptables, commands = f"iptables-{host.kind}", []
    for program in (iptables, iptables.replace("iptables", "ip6tables")):
        commands += [(f"{program}-save", "-t", table) for table in ("mangle", "nat", "filter")]
    texts = [host.namespace.run(*each) for each in (*commands, ("ipset", "save"))]
    lines = [line.partition(" [")[0] for text in texts for line in text.splitlines()]
    return [line for line in lines if not line.startswith("#")]


def test_what_is_others_is_left_alone(host):
    iptables = f"iptables-{host.kind}"
    for table, chain in (("mangle", "FORWARD"), ("nat", "POSTROUTING"), ("filter", "FORWARD")):
        host.namespace.run(iptables, "-t", table, "-N", "OTHER")
        host.namespace.run(iptables, "-t", table, "-A", chain, "-j", "OTHER")
    host.namespace.run("ip6tables" + iptables[8:], "-t", "mangle", "-P", "INPUT", "ACCEPT")
    host.namespace.run("ip6tables" + iptables[8:], "-t", "nat", "-P", "INPUT", "ACCEPT")
    host.namespace.run("ipset", "create", "others", "hash:ip")
    host.namespace.run("ipset", "add", "others", A)
    before = foreign(host)
    isolated(host)
    assert foreign(host) != before
    host.do(host.backend.replace(host.ruleset))
    host.do(host.backend.remove())
    assert foreign(host) == before
    assert host.do(host.backend.read_back()) is None
    host.do(host.backend.remove())


def test_a_refused_change_leaves_the_old_one_in_force(host):
    isolated(host)
    before = host.do(host.backend.read_back())
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant("10.1.0.1/32")))
    chains = {**host.ruleset.chains[4, MANGLE], "ROMANA-BAD": ("-m nonsense -j ACCEPT",)}
    broken = dataclasses.replace(host.ruleset, chains={**host.ruleset.chains, (4, MANGLE): chains})
    with pytest.raises(RulesetError, match="refused the policies 3 times: .*nonsense"):
        host.do(host.backend.apply(broken))
    found = host.do(host.backend.read_back())
    assert (found.chains, found.hooks, found.sets) == (before.chains, before.hooks, before.sets)
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()
    assert not host.do(host.backend.apply(host.ruleset))


def faulty(host, directory, monkeypatch, behaviour):
    """Put a program before the real iptables-restore: what it does, `behaviour` says in shell."""
    name = f"iptables-{host.kind}-restore"
    script = directory / name
    text = f"""\
        #!/bin/sh
        echo x >> {directory}/calls
        count=$(wc -l < {directory}/calls)
        {behaviour}
        exec /usr/sbin/{name} "$@"
        """
    script.write_text(textwrap.dedent(text))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_a_failure_that_passes_is_tried_again(host, tmp_path, monkeypatch):
    isolated(host)
    faulty(host, tmp_path, monkeypatch, '[ "$count" -gt 2 ] || { echo no >&2; exit 4; }')
    host.isolate("a", ingress=host.program("q", INGRESS, host.grant("10.1.0.1/32")))
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_a_failure_that_stays_leaves_sets_as_they_were(host, tmp_path, monkeypatch):
    isolated(host)
    host.pod("b", B)
    host.enforce()
    before = host.do(host.backend.read_back())
    faulty(host, tmp_path, monkeypatch, "echo broken >&2; exit 1")
    # Elements of one program change in place, before rules that do not come.
    host.isolate("a", ingress=host.program("p", INGRESS, host.grant("10.1.0.1/32")))
    host.isolate("b", ingress=host.program("q", INGRESS, host.grant("10.1.0.2/32")))
    with pytest.raises(RulesetError, match="broken"):
        host.enforce()
    monkeypatch.undo()
    found = host.do(host.backend.read_back())
    assert (found.chains, found.sets) == (before.chains, before.sets)
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_a_chain_that_others_lead_to_stands_in_no_ones_way(host):
    isolated(host)
    iptables = f"iptables-{host.kind}"
    host.namespace.run(iptables, "-t", "mangle", "-A", "OUTPUT", "-j", "ROMANA-I-p")
    host.isolate("a", ingress=host.program("q", INGRESS, host.grant("10.1.0.1/32")))
    host.enforce()
    said = [str(each) for each in host.do(host.backend.drift(host.ruleset))]
    assert said[0] == "chain ROMANA-I-p in mangle of IPv4: foreign"
    assert {each.partition(" in ")[0] for each in said} == {"chain ROMANA-I-p"}
    host.namespace.run(iptables, "-t", "mangle", "-D", "OUTPUT", "-j", "ROMANA-I-p")
    host.do(host.backend.replace(host.ruleset))
    assert host.do(host.backend.drift(host.ruleset)) == ()


def test_no_old_set_is_left_over(host):
    isolated(host)
    for at in range(5):
        name = f"q{at}"
        host.isolate("a", ingress=host.program(name, INGRESS, host.grant(f"10.1.0.{at}/32")))
        host.enforce()
        host.do(host.backend.replace(host.ruleset))
        assert host.do(host.backend.drift(host.ruleset)) == ()


def test_an_old_set_that_others_look_up_is_no_drift_and_goes_after_them(host):
    isolated(host)
    old = own_set(host, "p-h")
    rule = f"OUTPUT -m set --match-set {old} src -j ACCEPT"
    host.namespace.run(f"iptables-{host.kind}", "-A", *rule.split())
    host.isolate("a", ingress=host.program("q", INGRESS, host.grant("10.1.0.1/32")))
    host.enforce()
    for _ in range(2):
        assert host.do(host.backend.drift(host.ruleset)) == ()
        assert own_set(host, "p-h") == old
    host.namespace.run(f"iptables-{host.kind}", "-F", "OUTPUT")
    host.isolate("a", ingress=host.program("r", INGRESS, host.grant("10.1.0.2/32")))
    host.enforce()
    assert host.do(host.backend.drift(host.ruleset)) == ()
    names = host.namespace.run("ipset", "list", "-n").split()
    assert [each for each in names if "-q-" in each or "-p-" in each] == []


def test_own_changes_are_known_as_own_where_the_kernel_tells_them(host):
    if host.kind == "legacy":
        assert host.backend.watched == frozenset()
        return
    host.pod("a", A)
    host.enforce()
    listener = host.namespace.inside(lambda: Listener(NETFILTER))
    host.isolate("a", ingress=host.program("p", INGRESS))
    host.enforce()
    host.namespace.run("iptables-nft", "-t", "mangle", "-F", "ROMANA-TO-POD")
    told = listener.receive()
    listener.close()
    known = [(host.backend.own(each), bool(each.tables & host.backend.watched)) for each in told]
    assert known == [(True, True)] * (len(told) - 1) + [(False, True)]
    assert len(told) > 1
