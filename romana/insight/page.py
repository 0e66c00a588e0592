"""The matrix as one page of HTML that needs nothing from anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from itertools import groupby
from typing import Any

from romana.insight.style import SCRIPT, STYLE

Values = Mapping[str, Any]
OUTSIDE = "outside"
SHORT = 14
"""Characters of a cell; what is longer is in its title and in the list below."""


def page(answer: Values, namespace: str = "", now: datetime | None = None) -> str:
    """The page.

    Args:
        answer: as `Reach.as_json` gives it.
        namespace: of which namespace it is; empty for all.
        now: when it was made.
    """
    when = (now or datetime.now(timezone.utc)).strftime("%Y-%m-%d %H:%M UTC")
    groups: Sequence[Values] = answer["groups"]
    between = {(source, to): traffic for source, to, traffic in answer["between"]}
    where = f"namespace {namespace}" if namespace else "all namespaces"
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>Who reaches whom: {escape(where)}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n"
        f"<header><h1>Who reaches whom</h1><p>{escape(where)} &middot; {_count(groups)} &middot; "
        f"{when}</p></header>\n{_legend(groups)}\n"
        f'<div class="frame"><table class="matrix">{_head(groups)}'
        f"<tbody>{''.join(_rows(groups, between))}</tbody></table></div>\n"
        f'<h2>In words</h2>\n<div class="cards">{"".join(_cards(groups, between))}</div>\n'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _count(groups: Sequence[Values]) -> str:
    groups = [each for each in groups if each["looked_at"]]
    pods = sum(len(each["pods"]) for each in groups)
    open_ = sum(not each["isolated_ingress"] for each in groups)
    return (
        f"{len(groups)} workloads, {pods} pods &middot; "
        f"{open_} of {len(groups)} open to everyone (no policy isolates them)"
    )


def _legend(groups: Sequence[Values]) -> str:
    kinds = (
        ("all", "everything"),
        ("some", "these ports only"),
        ("part", "from or to some addresses only"),
        ("none", "nothing"),
        ("self", "itself"),
        ("beyond", "not looked at"),
    )
    beyond = any(not each["looked_at"] for each in groups)
    shown = {name for name, _ in kinds if beyond or name != "beyond"}
    items = "".join(
        f'<li><i class="{name}"></i>{text}</li>' for name, text in kinds if name in shown
    )
    return f'<ul class="legend">{items}<li class="hint">rows: from; columns: to</li></ul>'


def _head(groups: Sequence[Values]) -> str:
    """Two rows: namespaces, and workloads."""
    spans = "".join(
        f'<th class="namespace" colspan="{len(list(members))}"><span>{escape(name)}</span></th>'
        for name, members in groupby(groups, key=lambda each: each["namespace"])
    )
    names = "".join(
        f'<th class="to{_edge(groups, index)}" title="{_title(each)}"><div><span>'
        f"{escape(each['workload'])}{_part(each)}</span></div></th>"
        for index, each in enumerate(groups)
    )
    return (
        '<thead><tr><th class="corner" rowspan="2"><span class="from">from</span>'
        f'<span class="over">to</span></th>{spans}<th class="namespace"></th></tr>'
        f'<tr>{names}<th class="to edge"><div><span>{OUTSIDE}</span></div></th></tr></thead>'
    )


def _rows(groups: Sequence[Values], between: Mapping[tuple[int, int], str]) -> Iterator[str]:
    for i, source in enumerate(groups):
        cells = "".join(
            _cell(
                _settled(source, destination),
                between.get((i, j), ""),
                f"{source['name']} to {destination['name']}",
                _edge(groups, j),
            )
            for j, destination in enumerate(groups)
        )
        last = _outside(source, source["leaving"], f"{source['name']} to what is outside")
        label = f"<small>{escape(source['namespace'])}/</small>{escape(source['workload'])}"
        first = ' class="first"' if _edge(groups, i) else ""
        yield (
            f'<tr{first}><th class="row" title="{_title(source)}">{label}{_part(source)}</th>'
            f"{cells}{last}</tr>"
        )
    cells = "".join(
        _outside(each, each["arriving"], f"what is outside to {each['name']}", _edge(groups, index))
        for index, each in enumerate(groups)
    )
    yield f'<tr class="first"><th class="row">{OUTSIDE}</th>{cells}<td class="self edge"></td></tr>'


def _settled(source: Values, destination: Values) -> str:
    """The kind of a cell that no traffic decides; empty for others."""
    if not source["looked_at"] and not destination["looked_at"]:
        return "beyond"
    return "self" if source is destination and len(source["pods"]) == 1 else ""


def _cell(kind: str, traffic: str, title: str, edge: str) -> str:
    kind = kind or ("all" if traffic == "all" else "some" if traffic else "none")
    text = "" if kind in ("beyond", "self", "none") else _short(traffic)
    said = f"{title}: {'not looked at' if kind == 'beyond' else traffic or 'nothing'}"
    return f'<td class="{kind}{edge}" title="{escape(said)}">{text}</td>'


def _outside(group: Values, texts: Sequence[Sequence[str]], title: str, edge: str = " edge") -> str:
    if not texts or not group["looked_at"]:
        return _cell("" if group["looked_at"] else "beyond", "", title, edge)
    whole = all(where.endswith(")") for where, _ in texts)
    kinds = {traffic for _, traffic in texts}
    said = escape(f"{title}: " + "; ".join(f"{where} {traffic}" for where, traffic in texts))
    name = "part" if not whole else "all" if kinds == {"all"} else "some"
    text = _short(", ".join(sorted(kinds)))
    return f'<td class="{name}{edge}" title="{said}">{text}</td>'


def _short(traffic: str) -> str:
    """Traffic in the little room of a cell; TCP goes without saying."""
    parts = [each.removeprefix("TCP ") for each in traffic.split(", ")]
    text = " ".join(", ".join(parts).split())
    return escape(text if len(text) <= SHORT else f"{text[: SHORT - 1].rstrip(' ,')}…")


def _cards(groups: Sequence[Values], between: Mapping[tuple[int, int], str]) -> Iterator[str]:
    """Each workload with all that reaches it and that it reaches."""
    for index, each in enumerate(groups):
        if not each["looked_at"]:
            continue
        incoming = [(i, traffic) for (i, j), traffic in between.items() if j == index]
        outgoing = [(j, traffic) for (i, j), traffic in between.items() if i == index]
        pods = ", ".join(pod.partition("/")[2] for pod in each["pods"][:6])
        more = f" and {len(each['pods']) - 6} more" if len(each["pods"]) > 6 else ""
        yield (
            f"<section><h3>{escape(each['name'])}</h3><p>{escape(pods + more)}</p>"
            + _list("Reached by", groups, incoming, each["arriving"], each["isolated_ingress"])
            + _list("Reaches", groups, outgoing, each["leaving"], each["isolated_egress"])
            + "</section>"
        )


def _list(
    title: str,
    groups: Sequence[Values],
    ends: Sequence[tuple[int, str]],
    outside: Sequence[Sequence[str]],
    isolated: bool,
) -> str:
    by_traffic: dict[str, list[str]] = {}
    for index, traffic in ends:
        by_traffic.setdefault(traffic, []).append(groups[index]["name"])
    for where, traffic in outside:
        by_traffic.setdefault(traffic, []).append(where)
    items = "".join(
        f"<dt>{escape(traffic)}</dt><dd>{escape(', '.join(names))}</dd>"
        for traffic, names in sorted(by_traffic.items(), key=lambda item: item[0] != "all")
    )
    badge = "isolated" if isolated else "open"
    nobody = "<dt>none</dt><dd>nobody</dd>"
    return f'<h4>{title} <b class="{badge}">{badge}</b></h4><dl>{items or nobody}</dl>'


def _title(group: Values) -> str:
    return escape(", ".join(group["pods"]))


def _part(group: Values) -> str:
    """How many pods, where there are several."""
    count = len(group["pods"])
    return f" <small>&times;{count}</small>" if count > 1 else ""


def _edge(groups: Sequence[Values], index: int) -> str:
    """Where a namespace begins."""
    new = index == 0 or groups[index]["namespace"] != groups[index - 1]["namespace"]
    return " edge" if new else ""
