"""What must be true of a report of the bench in a browser, whatever its figures."""

from __future__ import annotations

import re
from pathlib import Path

from chromium import Page

WIDTHS = (1280, 640)
PAPER = 718
"""CSS pixels between the margins of A4: 210 mm less 0.4 inches on either side."""
TEXTS = "h1,h2,p,figcaption,caption,th,td,li,dt,dd,small"

PLOTS = """
Array.from(document.querySelectorAll('figure'), figure => {
  const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
  const drawn = Array.from(svg.querySelectorAll('path,use,text'), e => e.getBoundingClientRect())
    .filter(r => r.width + r.height > 0);
  const inside = r => r.left >= box.left - 1 && r.right <= box.right + 1 &&
    r.top >= box.top - 1 && r.bottom <= box.bottom + 1;
  const labels = Array.from(svg.querySelectorAll('g[id^=text_]'), e => e.getBoundingClientRect());
  return {width: box.width, height: box.height, drawn: drawn.length,
          labels: labels.length, outside: labels.filter(r => !inside(r)).length};
})
"""
# Where a table may be pushed aside in its frame, that frame is what must not be wider.
OVERFLOWING = f"""
Array.from(document.querySelectorAll('{TEXTS}')).flatMap(element => {{
  const box = element.getBoundingClientRect(), range = document.createRange();
  const frame = element.closest('.frame');
  const scrolls = frame && getComputedStyle(frame).overflowX === 'auto';
  range.selectNodeContents(element);
  return Array.from(range.getClientRects()).filter(r =>
    r.right > box.right + 1 || r.left < box.left - 1 ||
    (!scrolls && r.right > innerWidth + 1)
  ).slice(0, 1).map(r => `${{element.tagName}} ${{element.textContent.slice(0, 40)}}`);
}})
"""
SCROLLING = """
Array.from(document.querySelectorAll('.frame')).filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.textContent.slice(0, 40))
"""


def check(page: Page, report: Path, plots: int, keep: Path) -> int:
    """Open a report at every width and as on paper; on how many pages it is printed.

    Args:
        report: the file.
        plots: that it shall show.
        keep: a directory for pictures of it.
    """
    page.open(report)
    for width, media in (*((each, "") for each in WIDTHS), (PAPER, "print")):
        page.resize(width)
        page.media(media)
        found = page.value(PLOTS)
        assert len(found) == plots
        for each in found:
            assert each["width"] > width / 2
            assert each["height"] > 100
            assert each["drawn"] > 20
            assert each["labels"] > 5
            assert each["outside"] == 0, f"{each} at {width}"
        assert page.value(OVERFLOWING) == [], f"at {width} {media}"
        if width != min(WIDTHS):
            assert page.value(SCROLLING) == [], f"at {width} {media}"
        assert page.value("document.documentElement.scrollWidth") <= width
        (keep / f"{media or 'screen'}-{width}.png").write_bytes(page.screenshot())
    page.media("")
    printed = page.pdf()
    (keep / "report.pdf").write_bytes(printed)
    assert page.complaints == []
    assert page.requests == [report.as_uri()], "the report does not stand alone"
    return len(re.findall(rb"/Type\s*/Page\b", printed))
