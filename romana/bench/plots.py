"""A run's outcome as pictures. Needs matplotlib, which is only on the operator's machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from romana.bench import seed
from romana.bench.amounts import size_text
from romana.bench.figures import Figure
from romana.bench.results import Results

COLOURS = {
    "none": "#9aa5b1",
    "established": "#4a5663",
    "nat": "#6f5b3e",
    "list": "#d9730d",
    "chains": "#b0307a",
    "nftables": "#0b8a66",
    "iptables": "#2563c9",
    "seed": "#e8b44c",
}
OTHER = "#7048c9"
FLOORS = ("none", "established", "nat")
_DASHES = {"none": ":", "established": "--", "nat": "-."}
NEAREST = 0.06
"""Labels of an axis are so far apart, at least: a share of its length."""
LOG_FROM = 8
"""A scale of times is logarithmic where the longest is so many times the shortest."""
SHOWN = 2
"""Times the longest median: so far up, at most, are intervals shown."""
DOTS_PER_INCH = 150
_STYLE: Any = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8894a0",
    "axes.labelcolor": "#3c4753",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": "#3c4753",
    "ytick.color": "#3c4753",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e4e9ee",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "romana",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, and what it shows in words."""

    name: str
    title: str
    text: str
    picture: Picture

    def rendered(self, kind: Literal["svg", "png"]) -> bytes:
        """As the content of a file."""
        out = BytesIO()
        metadata = {"Date": None} if kind == "svg" else {}
        with mpl.rc_context(_STYLE):
            self.picture.savefig(out, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
        return out.getvalue()


def plots(results: Results) -> Iterator[Plot]:
    """All pictures for which there are figures."""
    if not results.figures:
        return
    with mpl.rc_context(_STYLE):
        yield Plot(
            "connect",
            "Time to connect, against the number of policies",
            "Microseconds from SYN to SYN-ACK, where the cost of policies is: only the first packet"
            " of a connection is judged. Bars are 95 % confidence intervals.",
            _connect(results),
        )
        if results.sizes:
            yield Plot(
                "requests",
                "Time of a request, against the number of policies, by size of the response",
                "Milliseconds, median, each request in a connection of its own. Every panel has a "
                "scale of its own, from zero where it is not logarithmic.",
                _requests(results),
            )
        count = _compared(results)
        if count:
            yield Plot(
                "percent",
                f"What {count:,} policies add to a request, beside the seed's figures",
                "Percent of the same data plane's time without policies. The seed's are from its "
                "published table; it gives no confidence intervals.",
                _percent(results, count),
            )


def _connect(results: Results) -> Picture:
    picture = Picture(figsize=(9, 4.8))
    axes = picture.add_subplot()
    _lines(axes, results, None, 1.0)
    axes.set_xlabel("policies")
    axes.set_ylabel("microseconds to connect")
    picture.legend(loc="outside right upper")
    return picture


def _requests(results: Results) -> Picture:
    columns = min(3, len(results.sizes))
    rows = -(-len(results.sizes) // columns)
    picture = Picture(figsize=(max(7.5, 3.5 * columns), 0.6 + 2.9 * rows))
    for number, size in enumerate(results.sizes):
        axes = picture.add_subplot(rows, columns, number + 1)
        _lines(axes, results, size, 1 / 1000)
        axes.set_title(size_text(size))
        if number % columns == 0:
            axes.set_ylabel("milliseconds")
        if number + columns >= len(results.sizes):
            axes.set_xlabel("policies")
    handles, labels = picture.axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return picture


def _lines(axes: Axes, results: Results, size: int | None, unit: float) -> None:
    """Every data plane at one size."""
    top = highest = 0.0
    for plane in results.planes:
        figures = results.of(plane, size)
        if not figures:
            continue
        top = max(top, *(each.median.value * unit for each in figures))
        highest = max(highest, *(each.median.high * unit for each in figures))
        if plane in FLOORS:
            level = figures[0].median.value * unit
            axes.axhline(
                level, color=_colour(plane), linestyle=_DASHES[plane], linewidth=1.2, label=plane
            )
        else:
            _line(axes, plane, figures, unit)
    bottom = min(each.median.value * unit for each in results.figures if each.size == size)
    if top > LOG_FROM * bottom:
        axes.set_yscale("log")
        axes.set_ylim(bottom * 0.7, top * 1.4)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        # An interval of a few rounds may be far wider than all that is to be seen.
        axes.set_ylim(0, min(highest, SHOWN * top) * 1.12)
    _policies_axis(axes, results.policies)


def _line(axes: Axes, plane: str, figures: Sequence[Figure], unit: float) -> None:
    values = [each.median.value * unit for each in figures]
    below = [max(0.0, each.median.value - each.median.low) * unit for each in figures]
    above = [max(0.0, each.median.high - each.median.value) * unit for each in figures]
    axes.errorbar(
        [each.policies for each in figures],
        values,
        yerr=[below, above],
        color=_colour(plane),
        marker="o",
        markersize=4,
        linewidth=1.8,
        capsize=2.5,
        elinewidth=1,
        label=plane,
    )


def _policies_axis(axes: Axes, counts: Sequence[int]) -> None:
    """Numbers of policies: evenly up to some hundreds, by powers of ten where there are many."""
    positive = [each for each in counts if each]
    if positive and max(positive) > 1000:
        axes.set_xscale("symlog", linthresh=min(positive), linscale=0.5)
        axes.set_xlim(-0.15 * min(positive), max(positive) * 1.3)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(_apart(axes, counts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _apart(axes: Axes, counts: Sequence[int]) -> list[int]:
    """Those that have room for their label."""
    place, chosen = axes.transData.transform, [*counts[:1]]
    low, high = axes.transAxes.transform([(0, 0), (1, 0)])[:, 0]
    for each in counts[1:]:
        gap = place((each, 1))[0] - place((chosen[-1], 1))[0]
        if gap > NEAREST * (high - low):
            chosen.append(each)
    return chosen


def _short(count: float) -> str:
    return f"{count / 1000:g}k" if count >= 1000 else f"{count:g}"


def _compared(results: Results) -> int:
    """The number of policies that is compared with the seed's figures; 0 for none."""
    if not set(results.sizes) & set(seed.SIZES):
        return 0
    return max((each for each in results.policies if each in seed.POLICIES), default=0)


def _percent(results: Results, count: int) -> Picture:
    sizes = [each for each in results.sizes if each in seed.SIZES]
    planes = [p for p in results.planes if any(_added(results, p, count, s) for s in sizes)]
    picture = Picture(figsize=(9, 4.4))
    axes = picture.add_subplot()
    width = 0.8 / (len(planes) + 1)
    for turn, name in enumerate(("seed", *planes)):
        at = [place + (turn - len(planes) / 2) * width for place in range(len(sizes))]
        if name == "seed":
            heights = [seed.percent(count, size) or 0.0 for size in sizes]
            axes.bar(at, heights, width, color=COLOURS["seed"], label="the seed, 2016")
            continue
        found = [figure for size in sizes if (figure := _added(results, name, count, size))]
        values = [each.percent.value for each in found if each.percent]
        below = [max(0.0, e.percent.value - e.percent.low) for e in found if e.percent]
        above = [max(0.0, e.percent.high - e.percent.value) for e in found if e.percent]
        style = {"ecolor": "#3c4753", "elinewidth": 0.9, "capsize": 2}
        axes.bar(
            at[: len(values)],
            values,
            width,
            yerr=[below, above],
            color=_colour(name),
            label=name,
            error_kw=style,
        )
    axes.axhline(0, color="#8894a0", linewidth=0.8)
    axes.set_xticks(range(len(sizes)), [size_text(size) for size in sizes])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("size of the response")
    axes.set_ylabel("percent")
    picture.legend(loc="outside right upper")
    return picture


def _added(results: Results, plane: str, count: int, size: int) -> Figure | None:
    figure = results.figure(plane, count, size)
    return figure if figure and figure.percent else None


def _colour(plane: str) -> str:
    return COLOURS.get(plane, OTHER)
