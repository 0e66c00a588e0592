"""Client and server as processes, and talking to them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from romana.bench.errors import BenchError
from romana.bench.traffic.wire import Block, Measured, Order, Server, Told

T = TypeVar("T", bound=msgspec.Struct)


class Traffic:
    """The client and the server.

    Args:
        client: process of the one.
        server: process of the other.
    """

    def __init__(self, client: subprocess.Popen[bytes], server: subprocess.Popen[bytes]) -> None:
        self._client = client
        self._server = server

    def run(self, block: Block) -> Measured:
        """Make the requests of a block. Connections alone wait in the server's queue until the
        block is over, so that the server's work does not come in between.

        Raises:
            BenchError: a request failed, or a process has ended.
        """
        if block.size is None:
            self._order(Order(hold=True))
        measured = ask(self._client, block, Measured)
        if block.size is None:
            self._order(Order(drain=True))
        if measured.failure:
            raise BenchError(f"a request to {block.address} failed: {measured.failure}")
        return measured

    def answers(self, block: Block) -> bool:
        """Whether the connections of a block are made, rather than met with silence.

        Raises:
            BenchError: neither.
        """
        measured = ask(self._client, block, Measured)
        if measured.failure and not measured.silent:
            raise BenchError(f"a request to {block.address} failed: {measured.failure}")
        return not measured.failure

    def served(self) -> Told:
        """What the server has used of its processor."""
        return self._order(Order())

    def _order(self, order: Order) -> Told:
        return ask(self._server, order, Told)


@contextmanager
def traffic(
    namespaces: Sequence[Path], ports: Sequence[int], sizes: Sequence[int]
) -> Iterator[Traffic]:
    """Client and server for as long as the block; both on the last processor that there is.

    Args:
        namespaces: of the pods that serve.
        ports: in each of them.
        sizes: of the responses, in bytes.

    Raises:
        BenchError: the server cannot listen.
    """
    wish = Server(tuple(map(str, namespaces)), tuple(ports), tuple(sizes))
    module = "romana.bench.traffic"
    with (
        process((sys.executable, "-m", f"{module}.server")) as server,
        process((sys.executable, "-m", f"{module}.client")) as client,
    ):
        yield begun(client, server, wish)


def begun(
    client: subprocess.Popen[bytes], server: subprocess.Popen[bytes], wish: Server
) -> Traffic:
    """Client and server, once the server listens.

    Raises:
        BenchError: it cannot.
    """
    told = ask(server, wish, Told)
    if told.failure:
        raise BenchError(told.failure)
    return Traffic(client, server)


@contextmanager
def process(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program to talk to, for as long as the block. Ctrl-C does not reach it."""
    started = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        for stream in (started.stdin, started.stdout):
            if stream:
                stream.close()


def ask(process: subprocess.Popen[bytes], question: msgspec.Struct, answer: type[T]) -> T:
    """One line to a program, and its answer.

    Raises:
        BenchError: it has ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(question) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        line = b""
    else:
        line = process.stdout.readline()
    if not line:
        raise BenchError("the client or the server of the bench has ended")
    return msgspec.json.decode(line, type=answer)
