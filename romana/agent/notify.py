"""Word to systemd (sd_notify(3)): a datagram to the socket that it names, nothing where it does
not."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tell the service manager, for example `READY=1`."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    target = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), target)
