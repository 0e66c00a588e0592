"""A thread in another network namespace than its process, and what a new namespace is set to."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNET = 0x40000000
_SETTINGS = {
    "net/ipv4/ip_forward": "1",
    # Duplicate address detection would hold a link-local IPv6 address back for a second.
    "net/ipv6/conf/default/accept_dad": "0",
}
_libc = ctypes.CDLL(None, use_errno=True)


def join(path: Path) -> None:
    """Move the calling thread, for good, into the network namespace at `path`.

    Raises:
        OSError: it is not there, or this process lacks CAP_SYS_ADMIN.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # os.setns came with Python 3.12.
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def apply_settings() -> None:
    """Set what `_SETTINGS` says; /proc/sys/net shows the calling thread's namespace."""
    for name, value in _SETTINGS.items():
        setting = Path("/proc/sys", name)
        if setting.exists():
            setting.write_text(value)
