"""One owner of a lab at a time: two test runs at once do not tear each other's hosts down."""

from __future__ import annotations

import time
from socket import AF_UNIX, SOCK_STREAM, socket

from romana.lab.command import LabError

_POLL_S = 0.05


def hold(prefix: str, limit_s: float = 300.0) -> socket:
    """Own the lab of that prefix until the returned socket is closed, at the latest by the kernel
    when this process ends. Waits for another owner.

    Raises:
        LabError: another process owns it for longer than `limit_s`.
    """
    limit = time.monotonic() + limit_s
    mark = socket(AF_UNIX, SOCK_STREAM)
    while True:
        try:
            # An abstract address: it leaves no file behind (unix(7)).
            mark.bind(f"\0romana-lab/{prefix}")
        except OSError:
            if time.monotonic() > limit:
                mark.close()
                raise LabError(f"lab {prefix} is in use by another process") from None
            time.sleep(_POLL_S)
        else:
            return mark
