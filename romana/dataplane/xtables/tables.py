"""Renders an Admission as chains of iptables and sets of ipset. Pure.

```
mangle FORWARD ─► FORWARD: established,related accept ─► from a pod: FROM-POD ─► to a pod: TO-POD
mangle INPUT   ─► INPUT (from a pod): established accept ─► FROM-POD
FROM-POD: tree over sources ─► address and interface: to itself accept; return or E-PROGRAM ─► drop
TO-POD:   tree over destinations ─► address and interface: accept or I-PROGRAM ─► drop
nat POSTROUTING ─► POSTROUTING: from pods to anything but pods and nodes: masquerade
```
Names of our chains begin with `ROMANA-`. The table is `mangle`: of iptables' tables it is the one
whose verdicts are of the same kind as those of a table of nftables. What is accepted here goes on
to the filter table, where others keep their say; what others accept there (kube-proxy accepts
marked packets before anybody else is asked) was judged here before. The destination is that after
translation in both.

Every chain but the first ends with a jump to where its packets are dropped, since what falls off
the end of a chain is admitted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from romana.dataplane.denials import DENIED
from romana.dataplane.nftables import (
    INTERFACE_PREFIX,
    INVALID,
    UNKNOWN,
    Settings,
)
from romana.dataplane.programs import FAMILIES
from romana.dataplane.xtables.denials import denial_chains, denial_sets
from romana.dataplane.xtables.dispatch import ROOT, dispatch_chains
from romana.dataplane.xtables.programs import (
    DENY,
    Chains,
    ProgramTables,
    program_chain,
    program_tables,
)
from romana.dataplane.xtables.sets import PREFIX, IpSet, SetKey, networks
from romana.objects import Network
from romana.policy.admission import Admission, Direction, EndpointPrograms, Program

MANGLE, NAT = "mangle", "nat"
FORWARD, INPUT, POSTROUTING = (f"{PREFIX}{each}" for each in ("FORWARD", "INPUT", "POSTROUTING"))
POD_IN, POD_OUT = f"-i {INTERFACE_PREFIX}+", f"-o {INTERFACE_PREFIX}+"
HOOKS = {
    MANGLE: (f"FORWARD -j {FORWARD}", f"INPUT {POD_IN} -j {INPUT}"),
    NAT: (f"POSTROUTING -j {POSTROUTING}",),
}
"""The rules in chains of the kernel that lead to ours. They come first there."""

UNKNOWN_CHAIN, INVALID_CHAIN = f"{PREFIX}UNKNOWN", f"{PREFIX}INVALID"
COUNTERS = {
    **{DENY[direction]: counter for direction, counter in DENIED.items()},
    UNKNOWN_CHAIN: UNKNOWN,
    INVALID_CHAIN: INVALID,
}
"""The chains that drop, with their last rule, and what that counts."""

ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """All that is ours.

    Args:
        sets: by key.
        chains: by family and table.
        programs: of those chains the ones of each program, by its first chain and by family.
        users: which interfaces each program judges, by its first chain.
        interfaces: all endpoints'.
    """

    sets: Mapping[SetKey, IpSet] = field(default_factory=dict)
    chains: Mapping[tuple[int, str], Chains] = field(default_factory=dict)
    programs: Mapping[str, Mapping[int, Chains]] = field(default_factory=dict)
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    interfaces: frozenset[str] = frozenset()


EMPTY = Tables()


class Renderer:
    """Renders one Admission after another; what of programs did not change is taken from the one
    before, and is the very same value.

    Args:
        settings: what of the configuration is in the tables; others may be assigned at any time.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._programs: dict[str, tuple[Program, ProgramTables]] = {}
        self._networks = (settings, dict(_network_sets(settings)))
        self._denying: tuple[Any, Any, Mapping[SetKey, IpSet]] = (None, None, {})
        self._dispatched: dict[int, tuple[Mapping[str, EndpointPrograms], Chains]] = {}

    def render(self, admission: Admission) -> Tables:
        """The tables that enforce an Admission."""
        endpoints = tuple(admission.endpoints.values())
        self._programs = {
            program_chain(each.direction, each.name): self._program(each)
            for each in admission.programs.values()
        }
        if self._networks[0] is not self.settings:
            self._networks = (self.settings, dict(_network_sets(self.settings)))
        sets = {**self._networks[1], **self._denials(admission.endpoints)}
        masquerading = {
            family: tuple(_masquerade_rules(self.settings, family, sets)) for family in FAMILIES
        }
        # Of a family that no endpoint has an address of, nothing leads to a program.
        used = {address.version for each in endpoints for address in each.endpoint.addresses}
        chains: dict[tuple[int, str], Chains] = {}
        for family in FAMILIES:
            chains[family, MANGLE] = {
                **dict(_fixed_chains(family)),
                **dict(denial_chains(family, sets, self.settings.denial_log)),
                **self._dispatch(family, admission.endpoints),
                **{
                    name: rules
                    for _, program in self._programs.values()
                    for name, rules in program.chains[family].items()
                    if family in used
                },
            }
            if masquerading[family]:
                chains[family, NAT] = {POSTROUTING: masquerading[family]}
        for _, program in self._programs.values():
            sets.update({key: each for key, each in program.sets.items() if key.family in used})
        return Tables(
            sets=sets,
            chains=chains,
            programs={name: each.chains for name, (_, each) in self._programs.items()},
            users=_users(endpoints),
            interfaces=frozenset(admission.endpoints),
        )

    def _denials(self, endpoints: Mapping[str, EndpointPrograms]) -> Mapping[SetKey, IpSet]:
        """The sets of the chains that deny; those of before where nothing of theirs changed."""
        log = self.settings.denial_log
        if self._denying[0] is not endpoints or self._denying[1] != log:
            made = denial_sets((each.endpoint for each in endpoints.values()), log)
            self._denying = (endpoints, log, dict(made))
        return self._denying[2]

    def _dispatch(self, family: int, endpoints: Mapping[str, EndpointPrograms]) -> Chains:
        """The chains that find an endpoint's program; those of before where no endpoint changed."""
        known = self._dispatched.get(family)
        if known is None or known[0] != endpoints:
            chains = {
                name: rules
                for direction in Direction
                for name, rules in dispatch_chains(
                    family, direction, endpoints.values(), tuple(_broken())
                )
            }
            known = self._dispatched[family] = (endpoints, chains)
        return known[1]

    def _program(self, program: Program) -> tuple[Program, ProgramTables]:
        known = self._programs.get(program_chain(program.direction, program.name))
        if known is None:
            return program, program_tables(program)
        if known[0] is program or known[0].grants is program.grants:
            return known
        return program, program_tables(program, *known)


def render(admission: Admission, settings: Settings) -> Tables:
    """The tables that enforce an Admission under the settings."""
    return Renderer(settings).render(admission)


def _fixed_chains(family: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    from_pod, to_pod = ROOT[Direction.EGRESS], ROOT[Direction.INGRESS]
    yield FORWARD, (ESTABLISHED, f"{POD_IN} -j {from_pod}", f"{POD_OUT} -g {to_pod}")
    yield INPUT, (ESTABLISHED, *(_link_local() if family == 6 else ()), f"-j {from_pod}")
    for counter in (UNKNOWN_CHAIN, INVALID_CHAIN):
        yield counter, ("-j DROP",)


def _link_local() -> Iterator[str]:
    """The pod and the host find each other's link-layer address: not traffic of a workload. Nor is
    what every interface sends by itself, multicast listener reports and the like; of no use."""
    for kind in (135, 136):
        yield f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j ACCEPT"
    yield "-s ::/128 -j DROP"
    yield "-s fe80::/10 -j DROP"


def _broken() -> Iterator[str]:
    """Packets of no connection. A TCP packet that opens none and belongs to none is one too:
    conntrack would adopt it, and a connection that was cut would revive from the end that may still
    send."""
    yield f"-m conntrack --ctstate INVALID -g {PREFIX}INVALID"
    yield f"-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -g {PREFIX}INVALID"


def _network_sets(settings: Settings) -> Iterator[tuple[SetKey, IpSet]]:
    """Of what is masqueraded; none where nothing is."""
    if not settings.masquerade:
        return
    for family in {each.version for each in settings.pod_networks}:
        direct = (*settings.pod_networks, *settings.direct_networks)
        for code, found in (("pods", settings.pod_networks), ("direct", direct)):
            texts = frozenset(text for each in found for text in _texts(family, each))
            yield (
                SetKey(family, POSTROUTING, code),
                IpSet(type="hash:net", family=family, elements=texts),
            )


def _texts(family: int, network: Network) -> Iterable[str]:
    if network.version != family:
        return ()
    low = int(network.network_address)
    return networks(family, low, low + network.num_addresses - 1)


def _masquerade_rules(
    settings: Settings, family: int, sets: Mapping[SetKey, IpSet]
) -> Iterator[str]:
    if settings.masquerade and SetKey(family, POSTROUTING, "pods") in sets:
        near = settings.near(family)
        away = f"! -d {near} " if near else ""
        inside, beyond = "-m set --match-set @pods src", "-m set ! --match-set @direct dst"
        # `--random-fully` came with iptables 1.6.2 and Linux 3.14.
        yield f"{away}{inside} {beyond} -j MASQUERADE --random"


def _users(endpoints: Iterable[EndpointPrograms]) -> Mapping[str, frozenset[str]]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for each in endpoints:
        for direction, program in (
            (Direction.INGRESS, each.ingress),
            (Direction.EGRESS, each.egress),
        ):
            if program is not None:
                users[program_chain(direction, program)].add(each.endpoint.interface)
    return {chain: frozenset(found) for chain, found in users.items()}


def exchanging(old: Tables, new: Tables) -> frozenset[str]:
    """The programs, by their first chain, that may come to admit by one element what they admit by
    another. Elements for one host each, and not for the same one, cannot."""
    gone, come = _peers(old, new), _peers(new, old)
    return frozenset(
        name
        for name in gone.keys() & come.keys()
        if not gone[name].isdisjoint(come[name])
        or any("/" in each for each in gone[name] | come[name])
    )


def _peers(these: Tables, those: Tables) -> Mapping[str, set[str]]:
    """By program, the peers of elements that the ones hold and the others do not."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key, each in these.sets.items():
        other = those.sets.get(key)
        if other is not each and key.owner in these.programs:
            for element in each.elements - (other.elements if other else frozenset()):
                found[key.owner].add(element.partition(",")[0])
    return found
