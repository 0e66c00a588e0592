"""Writes a run's outcome: results.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from romana.bench.results import Results


def write(results: Results, out: Path) -> Iterator[str]:
    """Write all files; a line for each."""
    path = out / "results.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    yield str(path)
