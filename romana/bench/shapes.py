"""The data planes that the bench compares with, as rules of the server's host. Pure.

- `established`: conntrack, and the rule that accepts what is established. The floor of whatever
  keeps state.
- `nat`: the same, and a chain for address translation without a rule. Every host that masquerades
  has one, and every host of kube-proxy.
- `list`: one iptables chain for each policy, tried one after the other, as Romana did it in 2016.
- `chains`: one nftables chain and one set for each policy, tried one after the other, as Calico and
  kube-router do it today. As theirs, the rules count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

import msgspec

from romana.bench.workload import Allowed

TABLE = "inet bench"
LAST = "ROMANA-T0-S0"


def established(*, translating: bool = False) -> str:
    """For `nft -f`; `translating` adds the chain for address translation."""
    nat = ("chain nat {", "type nat hook postrouting priority srcnat; policy accept;", "}")
    return "\n".join((f"table {TABLE} {{", *_forward(), *(nat if translating else ()), "}", ""))


def chains(policies: Iterable[Allowed], client: IPv4Address, interface: str) -> str:
    """For `nft -f`.

    Args:
        policies: in the order in which they are tried.
        client: whom each of them admits.
        interface: the server's, on its host.
    """
    found = tuple(enumerate(policies))
    lines = [f"table {TABLE} {{"]
    for number, each in found:
        lines.append(f"set peers-{number} {{ type ipv4_addr; elements = {{ {client} }}; }}")
        match = f"ip saddr @peers-{number} {each.protocol.lower()} dport {each.port}"
        lines.append(f"chain policy-{number} {{ {match} counter accept; }}")
    lines.append("chain to-pod {")
    lines += [f"counter jump policy-{number}" for number, _ in found]
    lines += ["counter drop", "}"]
    # Without a policy nothing is isolated.
    judge = (f'oifname "{interface}" goto to-pod',) if found else ()
    return "\n".join((*lines, *_forward(*judge), "}", ""))


def listed(policies: Iterable[Allowed], client: IPv4Address, interface: str) -> str:
    """For `iptables-restore`; arguments as of `chains`."""
    found = tuple(enumerate(policies))
    lines = ["*filter", f":{LAST} - [0:0]"]
    lines += [f":ROMANA-P-{number} - [0:0]" for number, _ in found]
    lines.append("-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT")
    if found:
        lines.append(f"-A FORWARD -o {interface} -j {LAST}")
    for number, each in found:
        protocol = each.protocol.lower()
        match = f"-s {client}/32 -p {protocol} -m {protocol} --dport {each.port}"
        lines.append(f"-A ROMANA-P-{number} {match} -j ACCEPT")
    lines += [f"-A {LAST} -j ROMANA-P-{number}" for number, _ in found]
    return "\n".join((*lines, f"-A {LAST} -j DROP", "COMMIT", ""))


def _forward(*rules: str) -> Iterator[str]:
    yield "chain forward {"
    yield "type filter hook forward priority filter; policy accept;"
    yield "ct state established,related accept"
    yield from rules
    yield "}"


def list_hits(listing: str) -> tuple[int, ...]:
    """What `iptables -L -v -x -n` tells: how often each policy's chain was jumped to, in order;
    then how often the last one accepted."""
    jumps: list[int] = []
    accepted: dict[str, int] = {}
    chain = ""
    for line in listing.splitlines():
        words = line.split()
        if line.startswith("Chain "):
            chain = words[1]
        elif chain == LAST and len(words) > 2 and words[2].startswith("ROMANA-P-"):
            jumps.append(int(words[0]))
        elif chain.startswith("ROMANA-P-") and len(words) > 2 and words[2] == "ACCEPT":
            accepted[chain] = int(words[0])
    return (*jumps, accepted.get(f"ROMANA-P-{len(jumps) - 1}", 0))


def chain_hits(listing: str) -> tuple[int, ...]:
    """The same of what `nft -j list table` tells."""
    jumps: list[int] = []
    accepted: dict[str, int] = {}
    for item in msgspec.json.decode(listing)["nftables"]:
        rule = item.get("rule", {})
        packets = next((e["counter"]["packets"] for e in rule.get("expr", ()) if "counter" in e), 0)
        if rule.get("chain") == "to-pod":
            jumps += [packets for each in rule["expr"] if "jump" in each]
        elif rule:
            accepted[rule["chain"]] = packets
    return (*jumps, accepted.get(f"policy-{len(jumps) - 1}", 0))
