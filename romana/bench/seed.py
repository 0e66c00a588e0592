"""What the seed published: "High performance network policies in Kubernetes clusters", 2016.

Two hosts with Intel Core i5-5250U on 1 Gbit/s, Ubuntu 14.04, Kubernetes 1.3, Romana 0.9.3.1;
average milliseconds of 2,000 HTTP requests, each with a new TCP session.
"""

from __future__ import annotations

from collections.abc import Mapping

POLICIES = (0, 10, 50, 100, 200)
SIZES = (512, 1024, 10 * 1024, 100 * 1024, 2**20)
MILLISECONDS: Mapping[int, tuple[float, ...]] = {
    0: (0.732, 0.738, 1.077, 2.532, 10.487),
    10: (0.744, 0.742, 1.084, 2.570, 10.556),
    50: (0.745, 0.755, 1.086, 2.580, 10.566),
    100: (0.762, 0.770, 1.104, 2.640, 10.597),
    200: (0.783, 0.783, 1.147, 2.652, 10.677),
}
"""By number of policies: one figure for each size."""


def milliseconds(policies: int, size: int) -> float | None:
    """The seed's figure of a cell; None where it has none."""
    row = MILLISECONDS.get(policies)
    return row[SIZES.index(size)] if row and size in SIZES else None


def percent(policies: int, size: int) -> float | None:
    """By how many percent of its own figure without policies the seed's is larger."""
    base, figure = milliseconds(0, size), milliseconds(policies, size)
    return None if base is None or figure is None else 100 * (figure / base - 1)
