"""A run's outcome as tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table

from romana.bench import seed
from romana.bench.amounts import size_text
from romana.bench.estimates import Estimate
from romana.bench.figures import Figure
from romana.bench.results import Results
from romana.bench.verdicts import verdicts


def show(results: Results, console: Console) -> None:
    """Print everything."""
    for each in renderables(results):
        console.print(each)
        console.print()
    for line in notes(results):
        console.print(line, markup=False, highlight=False)


def renderables(results: Results) -> Iterator[RenderableType]:
    """The tables, in order."""
    if not results.figures:
        return
    yield _seed_table(results)
    for plane in results.planes:
        if any(results.of(plane, size) for size in results.sizes):
            yield _requests_table(results, plane)
    yield _connect_table(results)


def _seed_table(results: Results) -> Table:
    sizes = [each for each in results.sizes if each in seed.SIZES]
    table = _table("the seed of 2016: ms, average of a request", sizes)
    for count in results.policies:
        row = [(seed.milliseconds(count, size), seed.percent(count, size)) for size in sizes]
        if any(figure is not None for figure, _ in row):
            table.add_row(str(count), *(_seed_cell(*each) for each in row))
    return table


def _seed_cell(milliseconds: float | None, percent: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.3f}" + (f" {percent:+.1f} %" if percent else "")


def _requests_table(results: Results, plane: str) -> Table:
    table = _table(f"{plane}: {results.planes[plane]}: ms, average of a request", results.sizes)
    counts = sorted({each.policies for each in results.figures if each.plane == plane})
    for count in counts:
        figures = (results.figure(plane, count, size) for size in results.sizes)
        table.add_row(f"{count:,}", *(_request_cell(each) for each in figures))
    return table


def _request_cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    text = f"{figure.mean.value / 1000:.3f} ±{_half(figure.mean) / 1000:.3f}"
    if figure.percent is None:
        return text
    return f"{text} {figure.percent.value:+.1f} ±{_half(figure.percent):.1f} %"


def _connect_table(results: Results) -> Table:
    counts = sorted({each.policies for each in results.figures if each.size is None})
    table = Table(
        "data plane",
        *(f"{count:,}" for count in counts),
        "ns a policy",
        title="connecting alone, us: median, by number of policies",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for plane in results.planes:
        figures = (results.figure(plane, count, None) for count in counts)
        slope = results.slope(plane, None)
        each = f"{slope.nanoseconds.value:.2f} ±{_half(slope.nanoseconds):.2f}" if slope else ""
        table.add_row(plane, *(_connect_cell(figure) for figure in figures), each)
    return table


def _connect_cell(figure: Figure | None) -> str:
    return f"{figure.median.value:.1f} ±{_half(figure.median):.1f}" if figure else ""


def _table(title: str, sizes: Sequence[int]) -> Table:
    return Table(
        "policies",
        *(size_text(size) for size in sizes),
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
    )


def _half(figure: Estimate) -> float:
    return (figure.high - figure.low) / 2


def notes(results: Results) -> Iterator[str]:
    """What else there is to say, in lines."""
    for verdict in verdicts(results):
        yield f"{verdict.outcome.value}: {verdict.target}: {verdict.text}"
    load = results.processor
    yield (
        f"the client's own part of a request is {load.client_user:.0f} us of processor time in "
        f"user space, the server's {load.server_user:.0f} us; in the kernel, of both pods and "
        f"hosts, {load.client_kernel + load.server_kernel:.0f} us; the machine was "
        f"{100 * load.busy:.0f} % busy"
    )
    far = sum(each.outliers for each in results.figures)
    of = sum(each.requests for each in results.figures)
    yield f"{far:,} of {of:,} requests took far longer than their like, and count all the same"
    for each in results.left_out:
        yield f"left out: {each}"
    if not results.complete:
        yield f"interrupted after {results.rounds} rounds"
