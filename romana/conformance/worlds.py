"""Clusters by chance, which change by chance, and what must hold in each: that is said by the
reference evaluator. Pure: the same seed makes the same worlds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random
from typing import Any

import msgspec

from romana.conformance.cases import SERVED, Case, Cell, PodState, Sides, Step
from romana.conformance.chance import Chance, Manifest, labels
from romana.conformance.manifests import Manifests, step_manifests
from romana.conformance.placement import Placement, place
from romana.objects import Address, Protocol, Snapshot
from romana.policy.admission import Flow
from romana.policy.evaluate import evaluate
from romana.sources.kinds import BY_TYPE

NAMESPACES = ("x", "y", "z")
FIRST = {4: ip_address("10.112.0.1"), 6: ip_address("fd00:112::1")}
PORTS = tuple((protocol, port) for (_, protocol), port in SERVED.items())
"""What is probed between every two pods."""
BLOCK_STEP = 256
"""From a pod's address to that of the same number in the next block; see placement.BLOCK_SIZE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large worlds are.

    Args:
        pods: at most.
        policies: at most.
        hosts: that share the pods.
        family: 4 or 6.
        changes: at most, from one step to the next.
    """

    pods: int = 8
    policies: int = 6
    hosts: int = 2
    family: int = 4
    changes: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A cluster at one moment.

    Args:
        policies: by name, each name only once in all namespaces.
        made: how many policies there have been.
    """

    namespaces: Mapping[str, Mapping[str, str]]
    pods: tuple[PodState, ...]
    policies: Mapping[str, Manifest]
    made: int = 0


class Worlds:
    """Makes worlds, one after the other.

    Args:
        random: decides.
        shape: how large they are.
    """

    def __init__(self, random: Random, shape: Shape) -> None:
        self._random, self._shape = random, shape
        self.addresses = tuple(_address(number, shape) for number in range(shape.pods))
        self._chance = Chance(random, NAMESPACES, self.addresses)

    @property
    def placement(self) -> Placement:
        """Which host holds which address."""
        return place(
            self.addresses, tuple(f"host{number + 1}" for number in range(self._shape.hosts))
        )

    def first(self) -> World:
        """A world with all its pods and half of its policies."""
        world = World(
            namespaces={name: labels(self._random) for name in NAMESPACES},
            pods=tuple(self._pod(number) for number in range(self._shape.pods)),
            policies={},
        )
        for _ in range(self._random.randint(1, max(1, self._shape.policies // 2))):
            world = self._more_policies(world)
        return world

    def after(self, world: World) -> World:
        """A world that has changed a little."""
        changes = (
            self._more_policies,
            self._fewer_policies,
            self._other_policy,
            self._other_labels,
            self._other_labels,
            self._other_namespace,
            self._fewer_pods,
            self._more_pods,
        )
        for _ in range(self._random.randint(1, self._shape.changes)):
            world = self._random.choice(changes)(world)
        return world

    def _pod(self, number: int) -> PodState:
        return PodState(
            namespace=NAMESPACES[number % len(NAMESPACES)],
            name=f"p{number}",
            labels=labels(self._random),
            address=self.addresses[number],
        )

    def _more_policies(self, world: World) -> World:
        if len(world.policies) >= self._shape.policies:
            return self._fewer_policies(world)
        name = f"policy{world.made}"
        policies = {**world.policies, name: self._chance.policy(name)}
        return replace(world, policies=policies, made=world.made + 1)

    def _fewer_policies(self, world: World) -> World:
        policies = dict(world.policies)
        if policies:
            del policies[self._random.choice(sorted(policies))]
        return replace(world, policies=policies)

    def _other_policy(self, world: World) -> World:
        """A policy changes in place, as by `kubectl apply`."""
        names = [name for name, each in world.policies.items() if each["kind"] == "NetworkPolicy"]
        if not names:
            return self._more_policies(world)
        name = self._random.choice(names)
        other = self._chance.network_policy(name) | {"metadata": world.policies[name]["metadata"]}
        return replace(world, policies={**world.policies, name: other})

    def _other_labels(self, world: World) -> World:
        if not world.pods:
            return world
        chosen = self._random.choice(world.pods)
        other = replace(chosen, labels=labels(self._random))
        return replace(world, pods=tuple(other if each is chosen else each for each in world.pods))

    def _other_namespace(self, world: World) -> World:
        name = self._random.choice(NAMESPACES)
        return replace(world, namespaces={**world.namespaces, name: labels(self._random)})

    def _fewer_pods(self, world: World) -> World:
        if len(world.pods) <= 2:
            return self._more_pods(world)
        gone = self._random.choice(world.pods)
        return replace(world, pods=tuple(each for each in world.pods if each is not gone))

    def _more_pods(self, world: World) -> World:
        present = {each.name for each in world.pods}
        absent = [number for number in range(self._shape.pods) if f"p{number}" not in present]
        if not absent:
            return self._other_labels(world)
        return replace(world, pods=(*world.pods, self._pod(self._random.choice(absent))))


def _address(number: int, shape: Shape) -> Address:
    """Addresses next to each other, in as many blocks as there are hosts."""
    block, place = number % shape.hosts, number // shape.hosts
    return FIRST[shape.family] + block * BLOCK_STEP + place


def snapshot(manifests: Manifests) -> Snapshot:
    """The objects of manifests, read as an agent reads them.

    Raises:
        InvalidObject: one of them is unsound.
    """
    found: dict[str, dict[Any, Any]] = {}
    for content in manifests.values():
        manifest = msgspec.json.decode(content)
        kind = BY_TYPE[(manifest["apiVersion"], manifest["kind"])]
        obj = kind.read(manifest)
        found.setdefault(kind.field, {})[obj.key] = obj
    return Snapshot(**found)  # type: ignore[arg-type]


def judged(
    objects: Snapshot, pods: Sequence[PodState], ports: Sequence[tuple[Protocol, int]] = PORTS
) -> Mapping[Cell, Sides]:
    """What the reference says of every cell of a world."""
    return {
        Cell(source.title, destination.title, protocol, port): _sides(
            objects, source.address, destination.address, protocol.number, port
        )
        for source in pods
        for destination in pods
        for protocol, port in ports
    }


def _sides(
    objects: Snapshot, source: Address, destination: Address, protocol: int, port: int
) -> Sides:
    flow = Flow(source=source, destination=destination, protocol=protocol, port=port)
    verdict = evaluate(objects, flow)
    return Sides(ingress=verdict.ingress.admitted, egress=verdict.egress.admitted)


def step_of(world: World, placement: Placement) -> Step:
    """A world as a step of conformance, with the reference's verdicts as what must hold."""
    bare = Step(
        policies=tuple(world.policies.values()),
        namespaces=world.namespaces,
        pods=world.pods,
        ports=PORTS,
        cells=len(world.pods) ** 2 * len(PORTS),
        blocked={},
    )
    verdicts = judged(snapshot(step_manifests(bare, placement)), world.pods)
    blocked = {cell: sides for cell, sides in verdicts.items() if not sides.admitted}
    return replace(bare, blocked=blocked)


def random_case(seed: int, steps: int, shape: Shape) -> Case:
    """A case by chance.

    Args:
        seed: the same one makes the same case.
        steps: how many; a case of fewer steps is the beginning of one with more.
        shape: how large its worlds are.
    """
    worlds = Worlds(Random(seed), shape)  # noqa: S311 - chance, not secrecy
    placement = worlds.placement
    world = worlds.first()
    found = [step_of(world, placement)]
    while len(found) < steps:
        world = worlds.after(world)
        found.append(step_of(world, placement))
    return Case(description=f"seed {seed}", tags=("random",), steps=tuple(found))
