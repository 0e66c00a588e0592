"""Policies by chance, as manifests: few labels, neighbouring addresses, blocks that cut through
pods' addresses, ports next to each other, so that rules meet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from random import Random
from typing import Any

from romana.objects import Address, Protocol

Manifest = dict[str, Any]

KEYS, VALUES = ("app", "tier", "segment"), ("a", "b")
PORTS = (79, 80, 81, 82)
PORT_NAMES = ("serve-80-tcp", "serve-81-udp", "serve-80-sctp", "nowhere")
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
DIRECTIONS = ("ingress", "egress")
NARROW = 5
"""The longest prefix of a block leaves so many bits, or fewer, to the addresses in it."""


def labels(random: Random) -> dict[str, str]:
    """Of a pod or a namespace."""
    return {key: random.choice(VALUES) for key in KEYS if random.random() < 0.6}


@dataclass(frozen=True, slots=True)
class Chance:
    """Makes policies.

    Args:
        random: decides.
        namespaces: their names.
        addresses: of pods, around which blocks are laid.
    """

    random: Random
    namespaces: Sequence[str]
    addresses: Sequence[Address]

    def network_policy(self, name: str) -> Manifest:
        """One of networking.k8s.io/v1. `policyTypes` is sometimes left to its default."""
        spec: Manifest = {"podSelector": self._selector()}
        directions = [each for each in DIRECTIONS if self.random.random() < 0.6]
        for direction in directions:
            rules = [self._rule(direction) for _ in range(self.random.randint(0, 3))]
            if rules or self.random.random() < 0.5:
                spec[direction] = rules
        if directions and self.random.random() < 0.7:
            spec["policyTypes"] = [each.capitalize() for each in directions]
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": self.random.choice(self.namespaces), "name": name},
            "spec": spec,
        }

    def romana_policy(self, name: str) -> Manifest:
        """One of romana.io/v1."""
        direction = self.random.choice(DIRECTIONS)
        spec = {
            "direction": direction,
            "applied_to": [self._group() for _ in range(self.random.randint(1, 2))],
            direction: [self._entry() for _ in range(self.random.randint(0, 3))],
        }
        return {
            "apiVersion": "romana.io/v1",
            "kind": "RomanaPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }

    def policy(self, name: str) -> Manifest:
        """One of either kind."""
        return self.network_policy(name) if self.random.random() < 0.8 else self.romana_policy(name)

    def _rule(self, direction: str) -> Manifest:
        rule: Manifest = {}
        if self.random.random() < 0.8:
            peers = [self._peer() for _ in range(self.random.randint(0, 3))]
            rule["from" if direction == "ingress" else "to"] = peers
        if self.random.random() < 0.6:
            rule["ports"] = [self._port() for _ in range(self.random.randint(0, 3))]
        return rule

    def _peer(self) -> Manifest:
        if self.random.random() < 0.4:
            return {"ipBlock": self._block()}
        kinds = self.random.choice(
            (("podSelector",), ("namespaceSelector",), ("podSelector", "namespaceSelector"))
        )
        return {kind: self._selector() for kind in kinds}

    def _port(self) -> Manifest:
        port: Manifest = {"protocol": self.random.choice(list(Protocol)).value}
        kind = self.random.randrange(4)
        if kind == 1:
            port["port"] = self.random.choice(PORTS)
        elif kind == 2:
            low, high = sorted(self.random.choices(PORTS, k=2))
            port |= {"port": low, "endPort": high}
        elif kind == 3:
            port["port"] = self.random.choice(PORT_NAMES)
        return port

    def _block(self) -> Manifest:
        address = self.random.choice(self.addresses)
        wide = 0 if self.random.random() < 0.15 else self._length(address)
        cidr = ip_network((address, wide), strict=False)
        block: Manifest = {"cidr": str(cidr)}
        if self.random.random() < 0.5:
            inside = [each for each in self.addresses if each in cidr]
            chosen = self.random.choices(inside, k=self.random.randint(1, 2))
            block["except"] = [
                str(ip_network((each, max(cidr.prefixlen, self._length(each))), strict=False))
                for each in chosen
            ]
        return block

    def _length(self, address: Address) -> int:
        """Of a prefix: mostly one that holds some of the pods."""
        bits = self.random.choice((0, 1, 2, 3, NARROW, 8, 9))
        return address.max_prefixlen - bits

    def _selector(self) -> Manifest:
        selector: Manifest = {}
        if self.random.random() < 0.4:
            selector["matchLabels"] = {self.random.choice(KEYS): self.random.choice(VALUES)}
        if self.random.random() < 0.4:
            selector["matchExpressions"] = [
                self._requirement() for _ in range(self.random.randint(1, 2))
            ]
        return selector

    def _requirement(self) -> Manifest:
        operator = self.random.choice(OPERATORS)
        requirement: Manifest = {"key": self.random.choice(KEYS), "operator": operator}
        if operator in ("In", "NotIn"):
            count = self.random.randint(1, 2)
            requirement["values"] = sorted(self.random.sample(VALUES, count))
        return requirement

    def _group(self) -> Manifest:
        group: Manifest = {"pods": self._selector()}
        if self.random.random() < 0.5:
            group["namespace"] = self.random.choice(self.namespaces)
        else:
            group["namespaces"] = self._selector()
        if self.random.random() < 0.3:
            group["segment"] = self.random.choice(VALUES)
        return group

    def _entry(self) -> Manifest:
        return {
            "peers": [self._party() for _ in range(self.random.randint(1, 3))],
            "rules": [self._traffic() for _ in range(self.random.randint(1, 2))],
        }

    def _party(self) -> Manifest:
        kind = self.random.randrange(4)
        if kind == 0:
            return {"peer": "any"}
        return self._block() if kind == 1 else self._group()

    def _traffic(self) -> Manifest:
        protocol = self.random.choice(("any", *(each.value.lower() for each in Protocol)))
        rule: Manifest = {"protocol": protocol}
        kind = self.random.randrange(3)
        if protocol != "any" and kind == 1:
            rule["ports"] = [self.random.choice((*PORTS, *PORT_NAMES))]
        elif protocol != "any" and kind == 2:
            rule["port_ranges"] = [sorted(self.random.choices(PORTS, k=2))]
        return rule
