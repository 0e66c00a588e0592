"""Cases of conformance: steps that follow one another on one cluster, and which cells must not
connect in each.

The format comes from the cases of cyclonus (MIT licence, Copyright (c) 2021 Matt Fenwick). A step
states the whole wanted state. A cell is one ordered pair of pods with one protocol and port; what
is not listed as blocked must connect. Pairs of a pod with itself are counted, but not judged.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from romana.objects import Address, Protocol

Letter = Literal["a", "b"]
"""A verdict as the data spells it: allowed or blocked."""

SERVED: Mapping[tuple[str, Protocol], int] = {
    (f"serve-{port}-{protocol.value.lower()}", protocol): port
    for port in (80, 81)
    for protocol in Protocol
}
"""The ports that every pod serves, by the name and protocol of its container's port."""


class ConformanceError(Exception):
    """The run cannot go on: one line on what, where and why."""


class WirePod(msgspec.Struct):
    """One entry of a step's `pods`."""

    ns: str
    name: str
    ip: str
    labels: dict[str, str] | None = None


class WirePortProtocol(msgspec.Struct):
    """The one port that a step probes; its port may be a name."""

    Protocol: Protocol
    Port: int | str


class WireProbe(msgspec.Struct):
    """What a step probes."""

    AllAvailable: bool = True
    PortProtocol: WirePortProtocol | None = None


class WireStep(msgspec.Struct):
    """A step as it is written."""

    namespaces: dict[str, dict[str, str] | None]
    pods: list[WirePod]
    probe: WireProbe
    n: int
    policies: list[dict[str, Any]] | None = None
    blocked: list[tuple[str, str, Protocol, int | str, Letter, Letter]] | None = None


class WireCase(msgspec.Struct):
    """A case as it is written."""

    description: str
    steps: list[WireStep]
    tags: list[str] | None = None


class Cell(NamedTuple):
    """One attempt: pods as `NAMESPACE/NAME`, and the destination's port."""

    source: str
    destination: str
    protocol: Protocol
    port: int


class Sides(NamedTuple):
    """What both sides of a cell say, True for admitted."""

    ingress: bool
    egress: bool

    @property
    def admitted(self) -> bool:
        """A cell is blocked when either side blocks it."""
        return self.ingress and self.egress


OPEN = Sides(ingress=True, egress=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """A pod as a step wants it."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    address: Address

    @property
    def title(self) -> str:
        """`NAMESPACE/NAME`, as cells name it."""
        return f"{self.namespace}/{self.name}"

    @property
    def identity(self) -> tuple[str, Address]:
        """What makes it this pod: another address is another pod, other labels are not."""
        return (self.title, self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The whole wanted state, and what must hold in it.

    Args:
        ports: protocol and port of what is probed between every two pods.
        cells: how many there are, with those of a pod with itself.
        blocked: the cells that must not connect, and which side blocks.
    """

    policies: tuple[Mapping[str, Any], ...]
    namespaces: Mapping[str, Mapping[str, str]]
    pods: tuple[PodState, ...]
    ports: tuple[tuple[Protocol, int], ...]
    cells: int
    blocked: Mapping[Cell, Sides]

    def judged(self) -> Iterator[tuple[Cell, Sides]]:
        """The cells that are judged, each with what must hold."""
        for source in self.pods:
            for destination in self.pods:
                if source is not destination:
                    for protocol, port in self.ports:
                        cell = Cell(source.title, destination.title, protocol, port)
                        yield cell, self.blocked.get(cell, OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Steps that follow one another."""

    description: str
    tags: tuple[str, ...]
    steps: tuple[Step, ...]


def load(path: Path) -> tuple[Case, ...]:
    """Read a file of cases, `.json` or `.json.gz`.

    Raises:
        ConformanceError: it cannot be read, or contradicts itself.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConformanceError(f"{path}: cannot be read: {reason}") from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> tuple[Case, ...]:
    """The cases of a file's content.

    Raises:
        ConformanceError: it is not in the format; the message begins with `where`.
    """
    try:
        wire = msgspec.json.decode(data, type=list[WireCase])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConformanceError(f"{where}: not a file of conformance cases: {error}") from error
    return tuple(_case(each, where) for each in wire)


def dump(cases: Iterable[Case]) -> bytes:
    """The content of a file of cases."""
    wire = [
        WireCase(
            description=case.description,
            tags=list(case.tags),
            steps=[_wire(step) for step in case.steps],
        )
        for case in cases
    ]
    return msgspec.json.format(msgspec.json.encode(wire), indent=1)


def _wire(step: Step) -> WireStep:
    every = step.ports == tuple((protocol, port) for (_, protocol), port in SERVED.items())
    probe = WireProbe()
    if not every:
        ((protocol, port),) = step.ports
        probe = WireProbe(False, WirePortProtocol(protocol, port))
    letters: dict[bool, Letter] = {True: "a", False: "b"}
    return WireStep(
        namespaces={name: dict(labels) for name, labels in step.namespaces.items()},
        pods=[
            WirePod(pod.namespace, pod.name, str(pod.address), dict(pod.labels))
            for pod in step.pods
        ],
        probe=probe,
        n=step.cells,
        policies=[dict(each) for each in step.policies],
        blocked=[
            (*cell, letters[sides.ingress], letters[sides.egress])
            for cell, sides in step.blocked.items()
        ],
    )


def _case(wire: WireCase, where: str) -> Case:
    steps = tuple(
        _step(step, f"{where}: case `{wire.description}`, step {number}")
        for number, step in enumerate(wire.steps, start=1)
    )
    return Case(description=wire.description, tags=tuple(wire.tags or ()), steps=steps)


def _step(wire: WireStep, where: str) -> Step:
    pods = tuple(_pod(pod, where) for pod in wire.pods)
    if len({pod.title for pod in pods}) < len(pods) or len({pod.address for pod in pods}) < len(
        pods
    ):
        raise ConformanceError(f"{where}: two pods have the same name or address")
    ports = _ports(wire.probe, where)
    if wire.n != len(pods) ** 2 * len(ports):
        reason = f"{len(pods)} pods and {len(ports)} ports make no {wire.n} cells"
        raise ConformanceError(f"{where}: {reason}")
    step = Step(
        policies=tuple(wire.policies or ()),
        namespaces={name: labels or {} for name, labels in wire.namespaces.items()},
        pods=pods,
        ports=ports,
        cells=wire.n,
        blocked=dict(_blocked(wire, where)),
    )
    possible = {cell for cell, _ in step.judged()}
    for cell in step.blocked:
        if cell not in possible and cell.source != cell.destination:
            raise ConformanceError(f"{where}: blocks {cell}, which the step does not probe")
    return step


def _blocked(wire: WireStep, where: str) -> Iterator[tuple[Cell, Sides]]:
    for source, destination, protocol, port, ingress, egress in wire.blocked or ():
        cell = Cell(source, destination, protocol, number_of(port, protocol, where))
        yield cell, Sides(ingress=ingress == "a", egress=egress == "a")


def _pod(wire: WirePod, where: str) -> PodState:
    try:
        address = ip_address(wire.ip)
    except ValueError as error:
        raise ConformanceError(f"{where}: pod {wire.ns}/{wire.name}: {error}") from error
    return PodState(namespace=wire.ns, name=wire.name, labels=wire.labels or {}, address=address)


def _ports(probe: WireProbe, where: str) -> tuple[tuple[Protocol, int], ...]:
    if probe.AllAvailable or probe.PortProtocol is None:
        return tuple((protocol, port) for (_, protocol), port in SERVED.items())
    protocol, port = probe.PortProtocol.Protocol, probe.PortProtocol.Port
    return ((protocol, number_of(port, protocol, where)),)


def number_of(port: int | str, protocol: Protocol, where: str) -> int:
    """The number of a port that may be given by name.

    Raises:
        ConformanceError: no pod serves a port of that name.
    """
    if isinstance(port, int):
        return port
    number = int(port) if port.isdigit() else SERVED.get((port, protocol))
    if number is None:
        raise ConformanceError(f"{where}: no pod serves a port `{port}` of {protocol.value}")
    return number
