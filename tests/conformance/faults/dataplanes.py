"""What the tests know of the backends: how their rules are listed, and what is done to them."""

import json
import re
from dataclasses import dataclass

import pytest

from romana.dataplane.xtables.reading import VANISHED
from romana.lab.command import LabError

LISTINGS = 100
COUNTS = re.compile(r"\[\d+:\d+\]| packets \d+ bytes \d+")
PASS, CUT = {"admits": True}, {"loses": True}


@dataclass(frozen=True)
class Damage:
    """Something that somebody else does to our rules.

    `silent` is what the kernel tells nobody of: it is found when somebody looks.
    """

    do: object
    explains: dict
    silent: bool = False


def _words(*words):
    return lambda host, family: host.run(*words)


def _nft_rule(chain, text):
    """Deletes the first rule of a chain that has this text."""

    def damage(host, family):
        listed = host.run("nft", "-a", "list", "chain", "inet", "romana", chain)
        line = next(line for line in listed.splitlines() if text in line)
        handle = line.partition("# ")[2].split()
        host.run("nft", "delete", "rule", "inet", "romana", chain, *handle)

    return damage


def _nft_map(name):
    def damage(host, family):
        host.run("nft", "flush", "map", "inet", "romana", f"{name}{family}")

    return damage


def _nft_sets(host, family):
    """Empties every set of every program."""
    listed = json.loads(host.run("nft", "-j", "list", "sets", "table", "inet", "romana"))
    names = [each["set"]["name"] for each in listed["nftables"] if "set" in each]
    assert names
    for name in names:
        host.run("nft", "flush", "set", "inet", "romana", name)


def _nft(*words):
    return _words("nft", *words)


class Nftables:
    """The first backend."""

    words = ("nftables",)
    tools = ("nft",)
    author = r"changed by nft, pid \d+"
    damages = {
        "the rule for known connections": Damage(_nft_rule("forward", "established"), CUT),
        "the rule that judges what pods receive": Damage(_nft_rule("forward", "to-pod"), PASS),
        "the rule that judges what pods send": Damage(_nft_rule("forward", "from-pod"), PASS),
        "the map of pods that receive": Damage(_nft_map("ingress"), CUT),
        "the map of pods that send": Damage(_nft_map("egress"), CUT),
        "all sets": Damage(_nft_sets, CUT),
        "a chain's rules": Damage(_nft("flush", "chain", "inet", "romana", "forward"), PASS),
        "a rule too many": Damage(
            _nft("insert", "rule", "inet", "romana", "forward", "accept"), PASS
        ),
        "the table": Damage(_nft("delete", "table", "inet", "romana"), PASS),
        "every table": Damage(_nft("flush", "ruleset"), PASS),
    }
    old_release = {
        "dataplane/programs.py": (
            '{Direction.INGRESS: "in", Direction.EGRESS: "eg"}',
            '{Direction.INGRESS: "into", Direction.EGRESS: "out"}',
        )
    }
    """What another release has otherwise: every chain and set of a program has another name."""

    def present(self, host):
        """Whether there is anything of ours on a host."""
        return "table inet romana" in host.run("nft", "list", "tables")

    def listed(self, host):
        """Our rules and sets on a host, without what counts."""
        return sorted(host.run("nft", "-s", "list", "table", "inet", "romana").split())

    def releases(self, host):
        """Of which releases programs are in force: `old`, `new`."""
        chains = re.findall(r"chain (in|eg|into|out)-", host.run("nft", "list", "chains"))
        return {"new" if each in ("in", "eg") else "old" for each in chains}


class Iptables:
    """The second backend, with either kind of iptables."""

    def __init__(self, kind):
        self.kind = kind
        self.words = ("iptables", kind)
        self.tools = (f"iptables-{kind}-restore", f"ip6tables-{kind}-restore", "ipset")
        # The kernel tells nobody of changes to the tables of old.
        self.author = r"changed by \S+, pid \d+" if kind == "nft" else ""

    def _damage(self, explains, *words):
        """Runs iptables on the table that ours are in."""

        def damage(host, family):
            program = f"{'iptables' if family == 4 else 'ip6tables'}-{self.kind}"
            host.run(program, "-w", "-t", "mangle", *words)

        return Damage(damage, explains, silent=self.kind == "legacy")

    @property
    def damages(self):
        known = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
        found = {
            "the rule for known connections": self._damage(CUT, "-D", "ROMANA-FORWARD", *known),
            "the rule that judges what pods receive": self._damage(
                PASS, "-D", "ROMANA-FORWARD", "-o", "rom+", "-g", "ROMANA-TO-POD"
            ),
            "the rule that judges what pods send": self._damage(
                PASS, "-D", "ROMANA-FORWARD", "-i", "rom+", "-j", "ROMANA-FROM-POD"
            ),
            "the rule that leads to ours": self._damage(
                PASS, "-D", "FORWARD", "-j", "ROMANA-FORWARD"
            ),
            "the tree of pods that receive": self._damage(PASS, "-F", "ROMANA-TO-POD"),
            "a chain's rules": self._damage(PASS, "-F", "ROMANA-FORWARD"),
            "a rule too many": self._damage(PASS, "-I", "ROMANA-FORWARD", "-j", "ACCEPT"),
            "the table": self._damage(PASS, "-F"),
            "all sets": Damage(_words("ipset", "flush"), CUT, silent=True),
        }
        if self.kind == "nft":
            found["every table"] = Damage(_words("nft", "flush", "ruleset"), PASS)
        return found

    old_release = {"dataplane/xtables/programs.py": ("NAME_LENGTH = 16", "NAME_LENGTH = 8")}
    """What another release has otherwise: every chain of a program has another name."""

    def present(self, host):
        """Whether there is anything of ours on a host."""
        return ":ROMANA-" in self._rules(host, "iptables")

    def listed(self, host):
        """Our rules and sets on a host, without what counts."""
        lines = host.run("ipset", "save").splitlines()
        for program in ("iptables", "ip6tables"):
            lines += self._rules(host, program).splitlines()
        return sorted(COUNTS.sub("", line) for line in lines if "ROMANA" in line)

    def releases(self, host):
        """Of which releases programs are in force: `old`, `new`."""
        listed = "".join(self._rules(host, program) for program in ("iptables", "ip6tables"))
        names = re.findall(r"^:ROMANA-[IE]-(?!closed)([^. ]+)", listed, re.MULTILINE)
        return {"old" if len(each) <= 8 else "new" for each in names}

    def _rules(self, host, program):
        """The table of our rules. It is listed again where a set has gone, by a change of the
        agent's, before iptables has asked for its name."""
        for _ in range(LISTINGS):
            try:
                return host.run(f"{program}-{self.kind}-save", "-t", "mangle")
            except LabError as error:
                if VANISHED not in str(error):
                    raise
        raise AssertionError(f"{VANISHED}, {LISTINGS} times")


DATAPLANES = {
    "nftables": Nftables(),
    "iptables-nft": Iptables("nft"),
    "iptables-legacy": Iptables("legacy"),
}
SETTINGS = {
    "nftables": ("nftables", 4),
    "iptables-nft": ("iptables-nft", 4),
    "iptables-legacy": ("iptables-legacy", 4),
    "nftables, IPv6": ("nftables", 6),
    "iptables-nft, IPv6": ("iptables-nft", 6),
}
"""What a stage is made with, by name: backend and address family."""
DEFAULT = "nftables"


def on(*settings):
    """Runs a test once in each of some settings."""
    return pytest.mark.parametrize("stage", settings, indirect=True)
