"""What a process uses, as the kernel counts it (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident memory now and at most, and processor time so far, with ended children's."""

    resident_mib: float
    peak_mib: float
    processor_s: float


def usage(pid: int) -> Usage:
    """Of a process that is running."""
    folder = Path("/proc", str(pid))
    lines = (folder / "status").read_text().splitlines()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    # The second field, the name, may hold blanks; it ends with the last parenthesis.
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(each) for each in fields[11:15])
    return Usage(int(kib["VmRSS"]) / 1024, int(kib["VmHWM"]) / 1024, ticks / _TICKS)
