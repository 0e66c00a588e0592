"""What the experiment says to the API that it serves its agent: one JSON object a line each way."""

from __future__ import annotations

import msgspec

from romana.bench.scale.synthetic import Shape


class Serve(msgspec.Struct, frozen=True, tag=True):
    """Serve a cluster, on 127.0.0.1 of the process's network namespace."""

    shape: Shape
    port: int


class Change(msgspec.Struct, frozen=True, tag=True):
    """Make one change, and wait until the kernel has committed something."""

    what: str
    number: int


class Churn(msgspec.Struct, frozen=True, tag=True):
    """Let pods come and go, so many a second, and wait until the kernel has all of it."""

    rate: int
    seconds: float


class Told(msgspec.Struct, frozen=True):
    """The answer: milliseconds from each event to the kernel's commit of it.

    Args:
        milliseconds: of each event.
        commits: how many there were.
        folded: events that the next one about the same pod overtook.
        failure: why there is no answer.
    """

    milliseconds: tuple[float, ...] = ()
    commits: int = 0
    folded: int = 0
    failure: str = ""


Order = Serve | Change | Churn
