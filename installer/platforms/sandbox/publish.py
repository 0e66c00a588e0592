"""The API server on a loopback port of this machine: a small process, found again by its own words.

The port is recorded, so that it is the same after the process or this machine went down.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from installer.errors import PlatformError
from romana.lab import forward
from romana.lab.forward import Forward
from romana.lab.leftovers import end

FIRST_PORT = 16443
START_LIMIT_S = 10.0


def publish(namespace: str, address: IPv4Address, target: int, record: Path) -> int:
    """The port on 127.0.0.1 that leads to `address:target` in the lab; starts what forwards.

    Args:
        namespace: the lab's outer namespace.
        address: of the controller.
        target: the API server's port there.
        record: a file that remembers the port; its directory exists.

    Raises:
        PlatformError: the forwarder does not start.
    """
    for pid, running in forward.find(namespace).items():
        if (running.address, running.target) == (str(address), target):
            record.write_text(f"{running.port}\n")
            return running.port
        end(pid)
    port = choose_port(_recorded(record))
    record.write_text(f"{port}\n")
    _start(Forward(namespace=namespace, port=port, address=str(address), target=target), record)
    return port


def withdraw(namespace: str) -> tuple[int, ...]:
    """End all forwarders into the lab; returns the process ids they had."""
    found = tuple(forward.find(namespace))
    for pid in found:
        end(pid)
    return found


def choose_port(recorded: int | None) -> int:
    """The recorded port if it is free, else the first, else any free one."""
    for wanted in (recorded or FIRST_PORT, FIRST_PORT, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                trial.bind(("127.0.0.1", wanted))
                return int(trial.getsockname()[1])
    raise PlatformError("no port is free on 127.0.0.1", "end what listens there and run again")


def _recorded(record: Path) -> int | None:
    try:
        return int(record.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _start(wanted: Forward, record: Path) -> None:
    log = record.with_suffix(".log")
    with log.open("ab") as stream:
        process = subprocess.Popen(
            (sys.executable, *wanted.words),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd="/",
            start_new_session=True,
        )
    limit = time.monotonic() + START_LIMIT_S
    while not _listens(wanted.port):
        if process.poll() is not None or time.monotonic() > limit:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise PlatformError(
                f"the API server cannot be published: {''.join(last)}", f"read {log}"
            )
        time.sleep(0.02)
    # It outlives this process; its parent then is init.
    process.returncode = 0


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1.0)
        return trial.connect_ex(("127.0.0.1", port)) == 0
