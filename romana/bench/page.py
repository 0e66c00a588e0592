"""report.html: a run's outcome as one page that stands alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from romana.bench import seed
from romana.bench.amounts import size_text
from romana.bench.estimates import CONFIDENCE, DRAWS, Estimate
from romana.bench.figures import Figure
from romana.bench.results import Results
from romana.bench.verdicts import Outcome, verdicts

STYLE = """
:root{--ink:#16202c;--soft:#5b6b7d;--line:#dbe2ea;--band:#f4f7fa;--good:#0b8a66;--bad:#b3261e;
--open:#8a5a00}
*{box-sizing:border-box}
body{margin:0 auto;padding:32px 28px 60px;max-width:1080px;color:var(--ink);background:#fff;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
h1{font-size:27px;margin:0;letter-spacing:-.01em}h2{font-size:19px;margin:40px 0 8px}
header p,figcaption,.note{color:var(--soft);margin:4px 0 0}
figure{margin:32px 0 0}figure h2{margin:0}figure svg{width:100%;height:auto;margin-top:8px}
.frame{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:14px;margin:10px 0 0;
width:100%}
caption{text-align:left;font-weight:600;padding:0 0 6px}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}
thead th{color:var(--soft);font-weight:600;border-bottom-width:2px}
td small{color:var(--soft);display:block;font-size:12px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,490px),1fr));
gap:26px 36px}.pair th,.pair td{padding:4px 0 4px 8px;font-size:13px}
.pair td small{font-size:11px;white-space:normal}
.pair th:first-child,.pair td:first-child{padding-left:0}
code{font-size:.92em}
ul.targets{list-style:none;padding:0;margin:12px 0 0}
.targets li{padding:8px 0;border-bottom:1px solid var(--line);display:flex;gap:14px}
.targets b{flex:0 0 66px;font-size:13px;text-transform:uppercase;letter-spacing:.03em}
.met b{color:var(--good)}.missed b{color:var(--bad)}.open b{color:var(--open)}
.targets span small{display:block;color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;margin:10px 0 0}
dt{color:var(--soft)}dd{margin:0}
@media print{body{padding:0;font-size:10.5pt;max-width:none}h2{margin-top:24px}
.targets li{padding:5px 0}figure{margin-top:22px}figure svg{width:90%}.pair{gap:16px}
.pair td,.pair th{padding-top:2px;padding-bottom:2px}.note{break-after:avoid}
figure,table,.targets li{break-inside:avoid}
h2{break-after:avoid}.frame{overflow:visible}}
"""


def page(results: Results, pictures: Iterable[tuple[str, str, str]]) -> str:
    """The page.

    Args:
        results: the run's.
        pictures: title, caption and SVG of each.
    """
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>What policies cost</title><style>{STYLE}</style></head><body>",
            *_header(results),
            *_targets(results),
            *(_picture(*each) for each in pictures),
            *_tables(results),
            *_method(results),
            "</body></html>",
        )
    )


def _header(results: Results) -> Iterator[str]:
    where = results.machine
    yield "<header><h1>What policies cost</h1>"
    yield f"<p>{escape(where.processor)}, {where.processors} processors, Linux "
    yield f"{escape(where.kernel)} &middot; {escape(results.began)} &middot; "
    yield f"Romana {escape(results.version)} &middot; {results.requests:,} requests a cell</p>"
    if results.where:
        yield f"<p>The cluster of {escape(results.where)}</p>"
    if not results.complete:
        yield f"<p><b>Interrupted after {results.rounds} rounds:</b> the figures so far.</p>"
    yield "</header>"


_WORDS = {Outcome.MET: "met", Outcome.MISSED: "missed", Outcome.OPEN: "open"}


def _targets(results: Results) -> Iterator[str]:
    yield '<h2>Targets</h2><p class="note">Met: the whole 95 % interval keeps the bound. Missed: '
    yield 'none of it does. Open: a part of it.</p><ul class="targets">'
    for each in verdicts(results):
        word = _WORDS[each.outcome]
        told = f"{_code(each.target)}<small>{escape(each.text)}</small>"
        yield f'<li class="{word}"><b>{word}</b><span>{told}</span></li>'
    yield "</ul>"


def _code(text: str) -> str:
    """A line in which names are between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _picture(title: str, text: str, svg: str) -> str:
    drawn = svg[svg.index("<svg") :]
    return (
        f"<figure><h2>{escape(title)}</h2><figcaption>{escape(text)}</figcaption>{drawn}</figure>"
    )


def _tables(results: Results) -> Iterator[str]:
    yield "<h2>Average time of a request</h2>"
    yield '<p class="note">Milliseconds, the mean; below, percent more than without policies, '
    yield "by the medians, round by round.</p>"
    yield '<div class="pair">'
    yield _table("The seed, 2016", _sizes(results.sizes), _seed_rows(results))
    for plane, title in results.planes.items():
        if results.of(plane, results.sizes[0]):
            yield _table(f"{plane}: {title}", _sizes(results.sizes), _rows(results, plane))
    yield "</div><h2>Time to connect</h2>"
    yield '<p class="note">Microseconds, median, with 95 % confidence; by number of policies.</p>'
    counts = sorted({each.policies for each in results.figures if each.size is None})
    heads = ("data plane", *(f"{each:,}" for each in counts), "ns a policy")
    yield _table("", heads, _connect_rows(results, counts))


def _sizes(sizes: Sequence[int]) -> tuple[str, ...]:
    return ("policies", *(size_text(each) for each in sizes))


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="frame"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _seed_rows(results: Results) -> Iterator[tuple[str, ...]]:
    for count in seed.POLICIES:
        cells = []
        for size in results.sizes:
            figure, more = seed.milliseconds(count, size), seed.percent(count, size)
            small = f"<small>{more:+.1f}</small>" if more else ""
            cells.append("" if figure is None else f"{figure:.3f}{small}")
        yield (str(count), *cells)


def _rows(results: Results, plane: str) -> Iterator[tuple[str, ...]]:
    counts = sorted({each.policies for each in results.figures if each.plane == plane})
    for count in counts:
        cells = (_request(results.figure(plane, count, size)) for size in results.sizes)
        yield (f"{count:,}", *cells)


def _request(figure: Figure | None) -> str:
    if figure is None:
        return ""
    small = f"<small>{_plus_minus(figure.percent, 1)}</small>" if figure.percent else ""
    return f"{figure.mean.value / 1000:.3f}{small}"


def _connect_rows(results: Results, counts: Sequence[int]) -> Iterator[tuple[str, ...]]:
    for plane in results.planes:
        cells = (results.figure(plane, count, None) for count in counts)
        slope = results.slope(plane, None)
        yield (
            escape(plane),
            *(_connected(each) for each in cells),
            _plus_minus(slope.nanoseconds, 2) if slope else "",
        )


def _connected(figure: Figure | None) -> str:
    if figure is None:
        return ""
    low, high = figure.median.low, figure.median.high
    return f"{figure.median.value:.1f}<small>{low:.1f} to {high:.1f}</small>"


def _plus_minus(figure: Estimate, digits: int) -> str:
    half = (figure.high - figure.low) / 2
    return f"{figure.value:+.{digits}f} &plusmn; {half:.{digits}f}"


def _method(results: Results) -> Iterator[str]:
    load, far = results.processor, sum(each.outliers for each in results.figures)
    total = sum(each.requests for each in results.figures)
    facts = {
        "turns": f"{results.rounds} rounds of blocks, every cell once a round, in another order "
        f"each time, and more for cells of wide intervals; the first round, and the first "
        f"{results.warm_requests} requests of each block, do not count",
        "confidence": f"{100 * CONFIDENCE:g} %, bootstrap over rounds, {DRAWS:,} draws; cells are "
        "compared round by round",
        "outliers": f"{far:,} of {total:,} requests lie beyond Tukey's outer fence; all count",
        "client and server": f"{load.client_user:.1f} and {load.server_user:.1f} us of processor "
        f"time in user space a request; {load.client_kernel + load.server_kernel:.0f} us in the "
        "kernel, for both pods and both hosts",
        "load": f"one request at a time, at most {100 * results.share:g} % of the time; the "
        f"machine was {100 * load.busy:.0f} % busy meanwhile, and its load was "
        f"{results.machine.load:.1f} before",
        "tools": "; ".join(results.machine.tools.values()),
        **({"left out": "; ".join(results.left_out)} if results.left_out else {}),
    }
    yield "<h2>How it was measured</h2><dl>"
    for name, text in facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    yield "</dl>"
