"""What iptables and ipset know, by the release that brought it: an allow-list against which rules,
sets and commands are held. Ubuntu 14.04 has iptables 1.4.21, ipset 6.20 and, by choice, Linux 3.13
or 4.4.

From the manual pages iptables(8), iptables-extensions(8), ipset(8), and the change logs of both.
What is older than 1.4.0 or 6.0 stands as that. What a backend comes to use is added here with the
release that has it, and the test says whether Ubuntu 14.04 does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Release = tuple[int, ...]
IPTABLES: Release = (1, 4, 21)
IPSET: Release = (6, 20)
KERNEL: Release = (3, 13)
OLD: Release = (1, 4, 0)
EVER: Release = (2, 6, 32)

Since = tuple[Release, Release]
"""The release of the tool, and that of the kernel."""
OWN: Mapping[str, tuple[Since, int]] = {
    # Of iptables itself: since when, and how many words follow.
    **{option: ((OLD, EVER), 1) for option in ("-s", "-d", "-i", "-o", "-p", "-j", "-g", "-m")},
    "-f": ((OLD, EVER), 0),
}
MATCHES: Mapping[str, Mapping[str, tuple[Since, int]]] = {
    "conntrack": {"--ctstate": ((OLD, EVER), 1), "--ctdir": ((OLD, EVER), 1)},
    "state": {"--state": ((OLD, EVER), 1)},
    "tcp": {
        "--tcp-flags": ((OLD, EVER), 2),
        "--syn": ((OLD, EVER), 0),
        "--dport": ((OLD, EVER), 1),
        "--sport": ((OLD, EVER), 1),
    },
    "udp": {"--dport": ((OLD, EVER), 1), "--sport": ((OLD, EVER), 1)},
    "icmp": {"--icmp-type": ((OLD, EVER), 1)},
    "icmp6": {"--icmpv6-type": ((OLD, EVER), 1)},
    "multiport": {"--dports": ((OLD, EVER), 1), "--sports": ((OLD, EVER), 1)},
    "set": {
        # Of a set with an address and a port, the words that say where they are from follow.
        "--match-set": (((1, 4, 9), EVER), 2),
        "--return-nomatch": (((1, 4, 16), (3, 7)), 0),
        "--update-counters": (((1, 4, 19), (3, 10)), 0),
    },
    "comment": {"--comment": ((OLD, EVER), 1)},
    "limit": {"--limit": ((OLD, EVER), 1), "--limit-burst": ((OLD, EVER), 1)},
    "hashlimit": {
        "--hashlimit-upto": (((1, 4, 0), EVER), 1),
        "--hashlimit-burst": ((OLD, EVER), 1),
        "--hashlimit-mode": ((OLD, EVER), 1),
        "--hashlimit-name": ((OLD, EVER), 1),
        "--hashlimit-htable-expire": ((OLD, EVER), 1),
        "--hashlimit-rate-match": (((1, 8, 0), (4, 14)), 0),
    },
    "addrtype": {"--dst-type": ((OLD, EVER), 1), "--src-type": ((OLD, EVER), 1)},
    "mark": {"--mark": ((OLD, EVER), 1)},
    "bpf": {"--bytecode": (((1, 4, 18), (3, 9)), 1), "--object-pinned": (((1, 6, 1), (4, 10)), 1)},
    "cgroup": {"--cgroup": (((1, 4, 22), (3, 14)), 1), "--path": (((1, 6, 0), (4, 5)), 1)},
}
TARGETS: Mapping[str, Mapping[str, tuple[Since, int]]] = {
    "ACCEPT": {},
    "DROP": {},
    "RETURN": {},
    "MASQUERADE": {
        "--random": ((OLD, EVER), 0),
        "--to-ports": ((OLD, EVER), 1),
        "--random-fully": (((1, 6, 2), (3, 14)), 0),
    },
    "LOG": {"--log-prefix": ((OLD, EVER), 1), "--log-level": ((OLD, EVER), 1)},
    "NFLOG": {
        "--nflog-group": ((OLD, EVER), 1),
        "--nflog-prefix": ((OLD, EVER), 1),
        "--nflog-range": ((OLD, EVER), 1),
        "--nflog-threshold": ((OLD, EVER), 1),
        "--nflog-size": (((1, 6, 0), (4, 8)), 1),
    },
    "REJECT": {"--reject-with": ((OLD, EVER), 1)},
    "CT": {"--notrack": (((1, 4, 5), EVER), 0), "--zone": (((1, 4, 8), EVER), 1)},
    "SET": {"--add-set": (((1, 4, 9), EVER), 2), "--map-set": (((1, 4, 22), (3, 15)), 2)},
}
SETS: Mapping[str, Since] = {
    "hash:ip": ((6, 0), EVER),
    "hash:net": ((6, 0), EVER),
    "hash:ip,port": ((6, 0), EVER),
    "hash:net,port": ((6, 0), EVER),
    "hash:net,iface": ((6, 7), (3, 1)),
    "hash:net,net": ((6, 20), (3, 12)),
    "hash:ip,mark": ((6, 21), (3, 14)),
    "hash:mac": ((6, 23), (3, 18)),
    "hash:ip,mac": ((6, 33), (4, 16)),
    "bitmap:port": ((6, 0), EVER),
}
SET_OPTIONS: Mapping[str, tuple[Since, int]] = {
    **{option: (((6, 0), EVER), 1) for option in ("family", "hashsize", "maxelem", "timeout")},
    "counters": (((6, 17), (3, 10)), 0),
    "comment": (((6, 20), (3, 12)), 0),
    "skbinfo": (((6, 22), (3, 18)), 0),
    "forceadd": (((6, 21), (3, 14)), 0),
    "bucketsize": (((7, 8), (5, 11)), 1),
    "initval": (((7, 8), (5, 11)), 1),
}
COMMANDS: Mapping[str, Mapping[str, tuple[Release, int]]] = {
    "iptables": {
        **{option: (OLD, 1) for option in ("-t", "-A", "-C", "-D", "-F", "-I", "-N", "-S", "-X")},
        "-w": ((1, 4, 20), 0),
        "-w SECONDS": ((1, 4, 22), 0),
    },
    "iptables-save": {"-t": (OLD, 1), "-c": (OLD, 0), "-M": (OLD, 1), "-f": ((1, 6, 2), 1)},
    "iptables-restore": {
        **{option: (OLD, 0) for option in ("--noflush", "-n", "--counters", "-c", "--test", "-t")},
        "-w": ((1, 6, 2), 1),
        "-W": ((1, 6, 2), 1),
    },
}


def too_new(since: Since, tool: Release) -> str:
    """What is wrong with something of these releases; empty if nothing is."""
    if since[0] > tool:
        return f"came with {'.'.join(map(str, since[0]))}"
    return f"needs Linux {'.'.join(map(str, since[1]))}" if since[1] > KERNEL else ""


def wrong_in_rule(rule: str, chains: frozenset[str]) -> Iterator[str]:
    """What of a rule, as `iptables-save` writes it behind `-A CHAIN`, Ubuntu 14.04 does not know.

    Args:
        rule: its words.
        chains: names that it may jump to.
    """
    words = iter(rule.split())
    known: dict[str, tuple[Since, int]] = dict(OWN)
    for word in words:
        if word == "!":
            continue
        if word not in known:
            yield f"{word}: not known there, in: {rule}"
            return
        since, count = known[word]
        if reason := too_new(since, IPTABLES):
            yield f"{word} {reason}, in: {rule}"
        values = [next(words, "") for _ in range(count)]
        if word in ("-m", "-j", "-g") and values[0] not in chains:
            brought = (MATCHES if word == "-m" else TARGETS).get(values[0])
            if brought is None or word == "-g":
                yield f"{word} {values[0]}: no match, target or chain, in: {rule}"
            known |= brought or {}


def wrong_in_set(kind: str, options: str) -> Iterator[str]:
    """What of `ipset create NAME KIND OPTIONS` it does not know."""
    if kind not in SETS:
        yield f"{kind}: no kind of set"
    elif reason := too_new(SETS[kind], IPSET):
        yield f"{kind} {reason}"
    words = iter(options.split())
    for word in words:
        if word not in SET_OPTIONS:
            yield f"{word}: no option of a set"
            return
        since, count = SET_OPTIONS[word]
        if reason := too_new(since, IPSET):
            yield f"{word} {reason}"
        for _ in range(count):
            next(words, "")


def wrong_in_command(words: tuple[str, ...]) -> Iterator[str]:
    """What of a command of iptables it does not know."""
    name = words[0].replace("ip6tables", "iptables")
    options = COMMANDS[name]
    rest = iter(words[1:])
    for word in rest:
        since, count = options.get(word, ((99,), 0))
        if since > IPTABLES:
            yield f"{name} {word}"
        for _ in range(count):
            next(rest, "")
