"""tables.md: a run's figures as tables to be pasted into a page of documentation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from romana.bench import seed
from romana.bench.amounts import size_text
from romana.bench.estimates import Estimate
from romana.bench.figures import Figure
from romana.bench.results import Results
from romana.bench.verdicts import verdicts


def tables(results: Results) -> str:
    """All of them."""
    return "\n".join(
        (*_where(results), *_requests(results), *_connect(results), *_targets(results))
    )


def _where(results: Results) -> Iterator[str]:
    where, load = results.machine, results.processor
    tools = ", ".join(where.tools.values())
    if results.where:
        yield f"The cluster of {results.where}."
        yield ""
    yield (
        f"{where.processor}, {where.processors} processors, Linux {where.kernel}, {tools}; "
        f"{results.began}, {results.requests:,} requests a cell in {results.rounds} rounds. The "
        f"machine was {100 * load.busy:.0f} % busy meanwhile (load before: {where.load:.1f}). Of a "
        f"request, the client's own part is {load.client_user:.0f} us and the server's "
        f"{load.server_user:.0f} us; the kernel's, for both pods and hosts, is "
        f"{load.client_kernel + load.server_kernel:.0f} us."
    )
    yield ""


def _requests(results: Results) -> Iterator[str]:
    """The seed's table beside ours: milliseconds, and percent more than without policies."""
    sizes = [each for each in results.sizes if each in seed.SIZES]
    for name in ("the seed, 2016", *results.planes):
        counts = sorted({each.policies for each in results.figures if each.plane == name})
        rows = (
            (f"{count:,}", *(_request(results.figure(name, count, size)) for size in results.sizes))
            for count in counts
        )
        if name not in results.planes:
            rows = ((str(n), *(_seed(n, size) for size in sizes)) for n in seed.POLICIES)
        shown = sizes if name not in results.planes else results.sizes
        yield from _table((name, *map(size_text, shown)), rows)


def _connect(results: Results) -> Iterator[str]:
    """Microseconds to connect."""
    counts = sorted({each.policies for each in results.figures if each.size is None})
    rows = []
    for plane in results.planes:
        slope = results.slope(plane, None)
        cells = (results.figure(plane, count, None) for count in counts)
        each = _plus_minus(slope.nanoseconds, 2) if slope else ""
        rows.append((f"`{plane}`", *(_median(cell) for cell in cells), each))
    heads = ("connecting, us", *(f"{count:,}" for count in counts), "ns a policy")
    yield from _table(heads, rows)


def _targets(results: Results) -> Iterator[str]:
    rows = ((each.target, each.outcome.value, each.text) for each in verdicts(results))
    yield from _table(("target", "", "figure (95 % interval)"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _seed(count: int, size: int) -> str:
    percent = seed.percent(count, size)
    more = f" ({percent:+.1f} %)" if percent else ""
    return f"{seed.milliseconds(count, size):.3f}{more}"


def _request(figure: Figure | None) -> str:
    if figure is None:
        return ""
    more = f" ({_plus_minus(figure.percent, 1)} %)" if figure.percent else ""
    return f"{figure.median.value / 1000:.4f}{more}"


def _median(figure: Figure | None) -> str:
    return _plus_minus(figure.median, 1).removeprefix("+") if figure else ""


def _plus_minus(figure: Estimate, digits: int) -> str:
    return f"{figure.value:+.{digits}f} ± {(figure.high - figure.low) / 2:.{digits}f}"
