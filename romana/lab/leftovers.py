"""What a lab holds on this machine, by its prefix: the next run clears after a killed one."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass

from romana.lab.command import LabError
from romana.lab.namespaces import NETNS, Namespace
from romana.lab.naming import belongs, check_prefix

END_LIMIT_S = 10.0
"""How long a killed process may take to go (in uninterruptible sleep it does not at once)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Namespaces of a lab and the processes that live in them. Falsy when there is nothing."""

    namespaces: tuple[str, ...]
    processes: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.namespaces or self.processes)


def find(prefix: str) -> Leftovers:
    """All that bears the prefix.

    Raises:
        ValueError: the prefix cannot name a lab.
    """
    check_prefix(prefix)
    names = (
        tuple(sorted(e.name for e in NETNS.iterdir() if belongs(prefix, e.name)))
        if NETNS.is_dir()
        else ()
    )
    processes = {pid for name in names for pid in Namespace(name).processes()}
    return Leftovers(namespaces=names, processes=tuple(sorted(processes)))


def remove(prefix: str) -> Leftovers:
    """End and remove all that bears the prefix; returns what there was.

    Raises:
        LabError: a process does not end.
    """
    found = find(prefix)
    for pid in found.processes:
        end(pid)
    for name in found.namespaces:
        Namespace(name).delete()
    return found


def end(pid: int, limit_s: float = END_LIMIT_S) -> None:
    """Kill one process and wait until it is gone; absent is fine. Its parent has to reap it.

    Raises:
        LabError: it is still there after `limit_s`.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        gone, _, _ = select.select([handle], [], [], limit_s)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
    if not gone:
        raise LabError(
            f"process {pid} does not end, {limit_s:g} s after SIGKILL: see /proc/{pid}/stack"
        )
