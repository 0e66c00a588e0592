"""Writes a run's outcome: results.json, tables.md, report.html, and each picture as PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from romana.bench.markdown import tables
from romana.bench.page import page
from romana.bench.results import Results

NO_PLOTS = "no plots: they need matplotlib (pip install 'romana[bench]')"


def write(results: Results, out: Path) -> Iterator[str]:
    """Write all files; a line for each."""
    path = out / "results.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    yield str(path)
    pictures = []
    try:
        from romana.bench.plots import plots
    except ImportError:
        yield NO_PLOTS
    else:
        for each in plots(results):
            picture = out / f"{each.name}.png"
            picture.write_bytes(each.rendered("png"))
            yield str(picture)
            pictures.append((each.title, each.text, each.rendered("svg").decode()))
    text = out / "tables.md"
    text.write_text(tables(results))
    yield str(text)
    report = out / "report.html"
    report.write_text(page(results, pictures))
    yield str(report)


def read(path: Path) -> Results:
    """A run's outcome as it was written.

    Raises:
        OSError: the file cannot be read.
        msgspec.DecodeError: it is no results.json of this version.
    """
    return msgspec.json.decode(path.read_bytes(), type=Results)
