"""Compares what becomes of all packets with what should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from romana.objects import Address, Key
from romana.policy.admission import Flow
from romana.policy.intervals import Intervals, contains
from romana.policy.space import Region, meet, minus
from romana.verify.classes import Classes
from romana.verify.forms import Field, Table, UnknownForm
from romana.verify.intent import INVALID, NEW, Intent, opens
from romana.verify.interpret import Interpreter
from romana.verify.packets import PacketClass

PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP", 1: "ICMP", 58: "ICMPv6"}
PORTS = (6, 17, 132)
ICMPV6 = 58


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A class of packets of which the kernel does not do what it should.

    Args:
        case: the class.
        wrong: what it does: `drops`, `admits`, `masquerades` or `does not masquerade`.
        flow: the smallest such packet.
        source_pod: whose interface it comes from, if a pod's.
        destination_pod: whose interface it goes to, if a pod's.
    """

    case: PacketClass
    wrong: str
    flow: Flow
    source_pod: Key | None = None
    destination_pod: Key | None = None

    @property
    def packet(self) -> str:
        """The packet in words: `TCP 10.0.0.5 -> 10.0.0.9:80`."""
        flow = self.flow
        name = PROTOCOLS.get(flow.protocol, f"protocol {flow.protocol}")
        port = ""
        if flow.protocol in PORTS:
            port = f":{flow.port}"
        elif flow.protocol == ICMPV6 and flow.port:
            name = f"{name} type {flow.port}"
        colons = ":" in str(flow.destination) and port
        target = f"[{flow.destination}]" if colons else str(flow.destination)
        return f"{name} {flow.source} -> {target}{port}"

    def __str__(self) -> str:
        """In one line."""
        return f"kernel {self.wrong} {self.packet} ({self._where()})"

    def _where(self) -> str:
        case = self.case
        source = _named(self.source_pod, case.from_interface)
        parts = [f"from {source}" if source else "from this host"]
        if case.path == "input":
            parts.append("to this host")
        else:
            parts.append(f"to {_named(self.destination_pod, case.to_interface)}")
        if case.state != NEW:
            parts.append("invalid" if case.state == INVALID else "of a known connection")
        elif self.flow.protocol == 6 and not opens(case.flags):
            parts.append("that opens no connection")
        return " ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "text": str(self),
            "wrong": self.wrong,
            "source": str(self.flow.source),
            "destination": str(self.flow.destination),
            "protocol": self.flow.protocol,
            "port": self.flow.port,
            "from_interface": self.case.from_interface or None,
            "to_interface": self.case.to_interface or None,
        }


def _named(pod: Key | None, interface: str) -> str:
    return f"pod {'/'.join(pod)}" if pod else interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One class has been looked at: what was found, if anything."""

    findings: tuple[Finding, ...] = ()


def prove(table: Table, intent: Intent) -> Iterator[Step]:
    """Look at one class after the other, so that the caller can pause in between.

    Args:
        table: what the kernel enforces.
        intent: what it should.

    Raises:
        UnknownForm: a rule cannot be interpreted; nothing is proven.
    """
    for chain in table.chains.values():
        for rule in chain.rules:
            if rule.verdict and rule.verdict.target and rule.verdict.target not in table.chains:
                raise UnknownForm(f"chain {rule.verdict.target}, which is not there")
    interpreter = Interpreter(table)
    for case, packets in Classes(table, intent):
        fate = interpreter.fate(case, packets)
        wanted = meet(intent.accepted(case), packets)
        yield Step(findings=tuple(_compared(case, wanted, fate.accepted, intent)))
        masqueraded = intent.masqueraded(case)
        if masqueraded is not None and case.state == NEW:
            passing = meet(wanted, fate.accepted)
            wanted, found = meet(masqueraded, passing), meet(fate.masqueraded, passing)
            wrongs = ("does not masquerade", "masquerades")
            yield Step(findings=tuple(_compared(case, wanted, found, intent, wrongs)))


def _compared(
    case: PacketClass,
    wanted: Region,
    found: Region,
    intent: Intent,
    wrongs: tuple[str, str] = ("drops", "admits"),
) -> Iterator[Finding]:
    if wanted == found:
        return
    for wrong, region in zip(wrongs, (minus(wanted, found), minus(found, wanted)), strict=True):
        if region:
            yield _finding(case, wrong, region, intent)


def _finding(case: PacketClass, wrong: str, region: Region, intent: Intent) -> Finding:
    peer, traffic = _smallest(region)
    make = IPv4Address if case.family == 4 else IPv6Address
    own_address, peer_address = make(case.address), make(peer)
    addresses: tuple[Address, Address] = (own_address, peer_address)
    source, destination = addresses if case.own is Field.SOURCE else addresses[::-1]
    protocol, port = _first(traffic)
    endpoints = intent.admission.endpoints
    pods = [
        endpoints[name].endpoint.pod if name in endpoints else None
        for name in (case.from_interface, case.to_interface)
    ]
    return Finding(
        case=case,
        wrong=wrong,
        flow=Flow(source=source, destination=destination, protocol=protocol, port=port),
        source_pod=pods[0],
        destination_pod=pods[1],
    )


def _smallest(region: Region) -> tuple[int, Intervals]:
    """The smallest address, of those with TCP where there are any: that is best known."""
    for low, _, traffic in region:
        if any(contains(traffic, 6 << 16 | port) for port in (0, 1)) or any(
            first >> 16 == 6 for first, _ in traffic
        ):
            return low, traffic
    return region[0][0], region[0][2]


def _first(traffic: Intervals) -> tuple[int, int]:
    """The smallest protocol and port; of the well-known protocols where there are any."""
    for protocol in PORTS:
        for low, high in traffic:
            first, last = max(low, protocol << 16), min(high, protocol << 16 | 0xFFFF)
            if first <= last:
                port = first & 0xFFFF
                return protocol, port if port or first == last else 1
    return traffic[0][0] >> 16, traffic[0][0] & 0xFFFF
