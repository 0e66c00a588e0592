"""`python -m romana.bench.traffic.client`: makes blocks of requests and times each."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path
from socket import SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socket
from struct import pack
from time import perf_counter_ns

import msgspec

from romana.bench.traffic.server import stay_on_last_processor, tell
from romana.bench.traffic.wire import Block, Measured, head, timeval
from romana.lab.joining import join

RESET = pack("ii", 1, 0)
"""Close at once: neither end waits for late packets (socket(7), SO_LINGER)."""
_BUFFER = bytearray(2**18)


class Failed(Exception):
    """A request was not answered as it should be."""


def connect(address: tuple[str, int], limit: bytes) -> int:
    """Nanoseconds from asking for a connection until it is there."""
    link = _socket(limit)
    link.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
    began = perf_counter_ns()
    link.connect(address)
    ended = perf_counter_ns()
    link.close()
    return ended - began


def fetch(address: tuple[str, int], limit: bytes, request: bytes, expected: int) -> int:
    """Nanoseconds from asking for a connection until the end of the response.

    Raises:
        Failed: the response is not as long as expected.
    """
    link = _socket(limit)
    receive, got = link.recv_into, 0
    began = perf_counter_ns()
    link.connect(address)
    link.send(request)
    while count := receive(_BUFFER):
        got += count
    ended = perf_counter_ns()
    link.close()
    if got != expected:
        raise Failed(f"of a response of {expected} bytes came {got}")
    return ended - began


def carry_out(block: Block) -> Measured:
    """Make the requests of a block."""
    if block.namespace:
        join(Path(block.namespace))
    address, limit = (block.address, block.port), timeval(block.limit_s)
    expected = 0 if block.size is None else len(head(block.size)) + block.size
    request = f"GET /{block.size} HTTP/1.1\r\nHost: {block.address}\r\n\r\n".encode()
    found: list[int] = []
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        for number in range(block.warm + block.count):
            if number == block.warm:
                before = resource.getrusage(resource.RUSAGE_SELF)
            if block.size is None:
                taken = connect(address, limit)
            else:
                taken = fetch(address, limit, request, expected)
            if number >= block.warm:
                found.append(taken)
    except (BlockingIOError, TimeoutError):
        # What a socket says whose time is over (socket(7), SO_SNDTIMEO).
        return Measured(failure=f"no answer within {block.limit_s:g} s", silent=True)
    except (OSError, Failed) as error:
        return Measured(failure=str(error))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Measured(
        nanoseconds=tuple(found),
        user_s=after.ru_utime - before.ru_utime,
        system_s=after.ru_stime - before.ru_stime,
    )


def _socket(limit: bytes) -> socket:
    link = socket()
    # Kept by the kernel: a time limit of Python's own would cost system calls of its own.
    link.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)
    link.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
    return link


def main() -> int:
    """Carry out blocks until the bench goes away."""
    stay_on_last_processor()
    gc.disable()
    while line := sys.stdin.buffer.readline():
        tell(carry_out(msgspec.json.decode(line, type=Block)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
