"""Many hosts at once, with one failing host hiding no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from installer.errors import HostError

WIDTH = 30
"""Hosts at once."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def over_hosts(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> list[Result | HostError]:
    """Calls the function for each item, in threads, and waits for all.

    A HostError is a result like any other. Any other exception is raised here, after all have
    ended.
    """

    def guarded(item: Item) -> Result | HostError:
        try:
            return function(item)
        except HostError as error:
            return error

    pool = ThreadPoolExecutor(WIDTH, thread_name_prefix="host")
    try:
        return list(pool.map(guarded, items))
    finally:
        # On Ctrl-C those that have not begun never will; the caller closes the others' sessions.
        pool.shutdown(wait=False, cancel_futures=True)
