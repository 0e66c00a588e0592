"""Whether policies cost nothing, by the figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import msgspec

from romana.bench.amounts import size_text
from romana.bench.estimates import Estimate
from romana.bench.results import Results

MOST_PERCENT = 1.0
MOST_ABOVE_US = 3.0
SEED_POLICIES = 200


class Outcome(str, Enum):
    """Of a comparison with a bound."""

    MET = "met"
    OPEN = "cannot be told apart from the bound"
    MISSED = "missed"


class Verdict(msgspec.Struct, frozen=True):
    """One target and what became of it."""

    target: str
    outcome: Outcome
    text: str


def verdicts(results: Results) -> tuple[Verdict, ...]:
    """Of every target, as far as the run measured what it needs."""
    return tuple(
        verdict
        for backend in results.backends
        for verdict in (
            *_requests(results, backend),
            *_flat(results, backend),
            *_floor(results, backend),
        )
    )


def _requests(results: Results, backend: str) -> Iterator[Verdict]:
    """The largest part of a request's time that policies cost, over all sizes."""
    counts = [each for each in results.policies if 0 < each <= SEED_POLICIES]
    found = [
        (each.percent, each)
        for size in results.sizes
        for each in results.of(backend, size)
        if counts and each.policies == max(counts) and each.percent
    ]
    if found:
        worst, figure = max(found, key=lambda pair: pair[0].value)
        assert figure.size is not None
        yield Verdict(
            f"{backend}: {figure.policies} policies cost at most {MOST_PERCENT:g} % of a request",
            _below(worst, MOST_PERCENT),
            f"at most {_told(worst, '%')}, at {size_text(figure.size)}",
        )


def _flat(results: Results, backend: str) -> Iterator[Verdict]:
    """Whether a connection takes no longer with any number of policies."""
    figures = [each for each in results.of(backend, None) if each.more]
    slope = results.slope(backend, None)
    if figures and slope:
        last = figures[-1]
        assert last.more is not None
        each = slope.nanoseconds
        flat = last.more.low <= 0 or each.low <= 0
        yield Verdict(
            f"{backend}: connecting takes as long with {last.policies:,} policies as with none",
            Outcome.MET if flat else Outcome.MISSED,
            f"{_told(last.more, 'us')} more; {_told(each, 'ns')} a policy",
        )


def _floor(results: Results, backend: str) -> Iterator[Verdict]:
    """How far connecting is above what connection tracking alone takes."""
    found = [
        (each.above_established, each)
        for each in results.of(backend, None)
        if each.above_established
    ]
    if found:
        worst, figure = max(found, key=lambda pair: pair[0].value)
        yield Verdict(
            f"{backend}: connecting takes at most {MOST_ABOVE_US:g} us more than `established`",
            _below(worst, MOST_ABOVE_US),
            f"at most {_told(worst, 'us')}, with {figure.policies:,} policies",
        )


def _below(figure: Estimate, bound: float) -> Outcome:
    if figure.high <= bound:
        return Outcome.MET
    return Outcome.OPEN if figure.low <= bound else Outcome.MISSED


def _told(figure: Estimate, unit: str) -> str:
    return f"{figure.value:.2f} {unit} ({figure.low:.2f} to {figure.high:.2f})"
