"""What came of a run, as values, as JSON and as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from romana.conformance.cases import Cell, Sides
from romana.lab.probes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A cell that is not as it must be.

    Args:
        case: its description.
        step: its number, from 1.
        expected: what both sides must say.
        observed: what became of the attempt.
        told: what the compiled forms of both sides' hosts say.
        explanation: what the agents say of it.
    """

    case: str
    step: int
    cell: Cell
    expected: Sides
    observed: Outcome
    told: Sides
    explanation: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "case": self.case,
            "step": self.step,
            "source": self.cell.source,
            "destination": self.cell.destination,
            "protocol": self.cell.protocol.value,
            "port": self.cell.port,
            "expected": _sides(self.expected),
            "observed": self.observed.value,
            "compiled": _sides(self.told),
            "explanation": list(self.explanation),
        }

    def lines(self) -> Iterator[str]:
        """For the operator."""
        cell = self.cell
        attempt = f"{cell.source} to {cell.destination} {cell.protocol.value} {cell.port}"
        expected = "connects" if self.expected.admitted else "is silent"
        yield f"wrong: {self.case}, step {self.step}: {attempt}: {self.observed.value}"
        yield f"  expected that it {expected}: {_words(self.expected)}"
        yield f"  compiled: {_words(self.told)}"
        yield from (f"  {line}" for line in self.explanation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run.

    Args:
        cells: all cells of the steps, with those of a pod with itself, which are not judged.
        judged: those that were probed and judged.
        seconds: from nothing to the last answer, hosts and pods made included.
        convergence_s: for each step, from the change of the manifests until every host had it in
            force.
    """

    backend: str
    hosts: int
    cases: int
    steps: int
    cells: int
    judged: int
    wrong: tuple[Wrong, ...]
    seconds: float
    convergence_s: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            "cases": self.cases,
            "steps": self.steps,
            "cells": self.cells,
            "wrong": [each.as_json() for each in self.wrong],
            "seconds": round(self.seconds, 2),
            "judged": self.judged,
            "backend": self.backend,
            "hosts": self.hosts,
            "convergence_ms": {
                name: round(percentile(self.convergence_s, share) * 1000, 1)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            },
        }

    def lines(self) -> Iterator[str]:
        """For the operator."""
        for each in self.wrong:
            yield from each.lines()
        counts = f"{self.cases} cases in {self.steps} steps, {self.cells} cells"
        result = f"{len(self.wrong)} wrong" if self.wrong else "all right"
        yield f"{counts}: {result}, in {self.seconds:.1f} s ({self.backend}, {self.hosts} hosts)"
        median, tail = (percentile(self.convergence_s, share) * 1000 for share in (0.5, 0.99))
        yield f"a change is in force on every host after {median:.0f} ms (p99 {tail:.0f} ms)"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of the values does not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _sides(sides: Sides) -> dict[str, str]:
    return {
        "ingress": "allowed" if sides.ingress else "blocked",
        "egress": "allowed" if sides.egress else "blocked",
    }


def _words(sides: Sides) -> str:
    return ", ".join(f"{direction} {verdict}" for direction, verdict in _sides(sides).items())
