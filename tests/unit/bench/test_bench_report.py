"""What is told of figures: verdicts, tables, the page and its pictures."""

import re
import sys
from html.parser import HTMLParser
from io import StringIO

import pytest
import reports
from chromium import browser, program
from rich.console import Console

from romana.bench import terminal
from romana.bench.estimates import Estimate
from romana.bench.figures import Figure, PerPolicy
from romana.bench.markdown import tables
from romana.bench.page import page
from romana.bench.plots import plots
from romana.bench.report import NO_PLOTS, read, write
from romana.bench.results import Machine, Processor, Results
from romana.bench.verdicts import Outcome, verdicts

SIZES = (512, 2**20)
COUNTS = (0, 10, 200)
EACH_NS = {"list": 30.0, "chains": 100.0, "nftables": 0.0}
SEEDS_SIZES = {512: 90.0, 1024: 95.0, 10240: 110.0, 102400: 240.0, 2**20: 700.0}
FLOORS = ("none", "established", "nat")
PAGES = (5, 6)
"""Of the full report on A4; the longer with wider letters."""


def about(value, width=0.1):
    return Estimate(value, value - width, value + width)


def figure(plane, count, size):
    base = {None: 30.0, 512: 90.0, 2**20: 600.0}[size]
    more = EACH_NS.get(plane, 0.0) * count / 1000
    counted = plane in EACH_NS and count > 0
    return Figure(
        plane=plane,
        policies=count,
        size=size,
        requests=2000,
        median=about(base + more),
        mean=about(base + more + 1),
        p99=base * 2,
        worst=base * 9,
        outliers=7,
        more=about(more) if counted else None,
        percent=about(100 * more / base) if counted else None,
        above_established=about(2.5 + more) if plane != "established" else None,
    )


def results(**fields):
    planes = {"established": "the floor", **{name: f"<{name}> & more" for name in EACH_NS}}
    cells = [("established", 0), *((plane, count) for plane in EACH_NS for count in COUNTS)]
    made = {
        "began": "2026-01-02T03:04:05+00:00",
        "seconds": 60.0,
        "machine": Machine(
            processor="A <processor>",
            processors=2,
            memory_mib=1000,
            kernel="6.1",
            python="3.11",
            tools={"nft": "1.0"},
            load=0.5,
        ),
        "planes": planes,
        "backends": ("nftables",),
        "policies": COUNTS,
        "sizes": SIZES,
        "requests": 2000,
        "rounds": 50,
        "complete": True,
        "left_out": (),
        "processor": Processor(
            client_user=9.0, client_kernel=50.0, server_user=8.0, server_kernel=20.0, busy=0.4
        ),
        "figures": tuple(figure(*cell, size) for cell in cells for size in (None, *SIZES)),
        "per_policy": tuple(
            PerPolicy(plane=plane, size=size, policies=COUNTS, nanoseconds=about(each))
            for plane, each in EACH_NS.items()
            for size in (None, *SIZES)
        ),
    }
    return Results(**{**made, **fields})


def full_results():
    """As a run with the seed's options has them; an interval is far wider than the others."""
    planes = (*FLOORS, *EACH_NS, "iptables")
    counts = (0, 10, 50, 100, 200)
    made = []
    for plane in planes:
        for count in (0,) if plane in FLOORS else counts:
            for size in (None, *SEEDS_SIZES):
                fields = as_fields(figure(plane, count, None))
                base = SEEDS_SIZES.get(size, 30.0)
                time = about(base * (1 + EACH_NS.get(plane, 0.0) * count / 30_000))
                wide = Estimate(time.value, 1.0, 20_000.0)
                fields |= {"size": size, "mean": time, "median": wide if count == 50 else time}
                wide = Estimate(100.0, -10.0, 210.0)
                fields["percent"] = (wide if count == 50 else about(12.3)) if count else None
                made.append(Figure(**fields))
    return results(
        planes=dict.fromkeys(planes, "what it is, in some words that may need a second line"),
        backends=("nftables", "iptables"),
        policies=counts,
        sizes=tuple(SEEDS_SIZES),
        figures=tuple(made),
        where="https://192.0.2.1:6443: client on node1, server on node2",
        left_out=("list with 50,000 policies: loading more than 5,000 takes minutes",),
    )


def outcomes(found):
    return {each.target.split(": ")[1].split(" ")[0]: each.outcome for each in verdicts(found)}


def test_targets_are_judged_by_the_whole_interval():
    assert outcomes(results()) == {"200": Outcome.MET, "connecting": Outcome.MET}
    wide = [
        Figure(**{**as_fields(each), "percent": Estimate(0.5, -1, 2)})
        if (each.plane, each.policies, each.size) == ("nftables", 200, 512)
        else each
        for each in results().figures
    ]
    assert outcomes(results(figures=tuple(wide)))["200"] is Outcome.OPEN
    assert outcomes(results(backends=("list",)))["200"] is Outcome.MISSED
    flat = [e for e in verdicts(results(backends=("chains",))) if "as long" in e.target]
    assert [each.outcome for each in flat] == [Outcome.MISSED]


def as_fields(each):
    return {name: getattr(each, name) for name in each.__struct_fields__}


def test_the_terminal_shows_the_seed_beside_ours():
    console = Console(width=200, record=True, file=StringIO())
    terminal.show(results(complete=False, left_out=("list with 9 policies: why",)), console)
    text = console.export_text()
    assert re.search(r"^200 +0.783 \+7.0 % +10.677 \+1.8 %", text, re.MULTILINE)
    assert "0.097" in text  # chains of 200, .5k: 90 us, 20 more, and 1
    assert "100.00 ±0.10" in text
    assert "interrupted after 50 rounds" in text
    assert "left out: list with 9 policies: why" in text


class Checker(HTMLParser):
    """Whether what is opened is closed."""

    VOID = frozenset(("meta", "br", "path", "use", "rect", "image"))

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        assert not {"src", "srcset"} & dict(attributes).keys(), "the page does not stand alone"

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_tables_for_a_page_of_documentation_are_even():
    lines = [line for line in tables(results()).splitlines() if line.startswith("|")]
    text = "\n".join(lines)
    assert "| 200 | 0.783 (+7.0 %) | 10.677 (+1.8 %) |" in text
    assert "| 200 | 0.1100 (+22.2 ± 0.1 %) | 0.6200 (+3.3 ± 0.1 %) |" in text
    assert "| `chains` | 30.0 ± 0.1 | 31.0 ± 0.1 | 50.0 ± 0.1 | +100.00 ± 0.10 |" in text
    blocks, width = [], 0
    for line in tables(results()).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or line.count("|")
        blocks.append(line.count("|") == width)
    assert all(blocks)


def test_the_page_is_whole_and_stands_alone():
    found = results()
    pictures = [(each.title, each.text, each.rendered("svg").decode()) for each in plots(found)]
    assert len(pictures) == 3
    text = page(found, pictures)
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert "A &lt;processor&gt;" in text
    assert "&lt;chains&gt; &amp; more" in text
    assert "@import" not in text
    assert "<script" not in text


@pytest.mark.parametrize("counts", [(0,), (200,), (0, 50_000)])
@pytest.mark.parametrize("sizes", [(512,), (100,), (512, 1024, 10240, 102400, 2**20)])
def test_pictures_can_be_drawn_of_any_choice(counts, sizes):
    cells = [("established", 0), *(("chains", count) for count in counts)]
    made = tuple(
        Figure(**{**as_fields(figure(*cell, None)), "size": size})
        for cell in cells
        for size in (None, *sizes)
    )
    for each in plots(results(policies=counts, sizes=sizes, figures=made)):
        assert each.rendered("png").startswith(b"\x89PNG")


def test_without_matplotlib_it_says_so_and_writes_the_rest(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "romana.bench.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    lines = list(write(results(), tmp_path))
    assert NO_PLOTS in lines
    assert "What policies cost" in (tmp_path / "report.html").read_text()
    assert read(tmp_path / "results.json") == results()


@pytest.fixture(scope="module")
def page_shown():
    """A browser for all tests of this module."""
    if program() is None:
        pytest.skip("no Chromium is installed (make packages)")
    with browser() as shown:
        yield shown


def test_the_page_is_whole_in_a_browser_at_any_width_and_on_paper(page_shown, tmp_path):
    list(write(full_results(), tmp_path))
    assert reports.check(page_shown, tmp_path / "report.html", 3, tmp_path) in PAGES


@pytest.fixture(scope="module")
def report_text(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    list(write(results(), out))
    return (out / "report.html").read_text()


BAD = {
    "an empty picture": ("<svg", "<svg></svg><svg hidden"),
    "a word beyond its box": ("<dd>", "<dd style='width:9px'>"),
    "a table beyond its frame": ("<td>", "<td style='min-width:2000px'>"),
    "something from elsewhere": ("</body>", "<img src='file:///nowhere.png'></body>"),
    "an error of a script": ("</body>", "<script>throw Error('no')</script></body>"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_browser_finds_what_is_wrong_with_a_page(page_shown, report_text, tmp_path, name):
    report = tmp_path / "report.html"
    old, new = BAD[name]
    report.write_text(report_text.replace(old, new, 1))
    with pytest.raises(AssertionError):
        reports.check(page_shown, report, 3, tmp_path)
