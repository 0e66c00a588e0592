"""A way to many servers that takes its time: TCP from 127.0.0.1, each direction late by half a
round trip. For kernels without netem."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

Dial = Callable[[], socket.socket]
CHUNK = 1 << 16


@contextlib.contextmanager
def delayed(dials: Sequence[Dial], round_trip_s: float) -> Iterator[tuple[int, ...]]:
    """Ports on 127.0.0.1 that lead to the servers, for the time of a block.

    Args:
        dials: opens a connection to each server.
        round_trip_s: how much later an answer comes than it would without.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened: list[asyncio.AbstractServer] = []
    try:
        for dial in dials:
            started = asyncio.run_coroutine_threadsafe(_listen(dial, round_trip_s), loop)
            opened.append(started.result())
        yield tuple(server.sockets[0].getsockname()[1] for server in opened)
    finally:
        asyncio.run_coroutine_threadsafe(_end(opened), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listen(dial: Dial, round_trip_s: float) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection is made in one round trip.
        await asyncio.sleep(round_trip_s)
        link = await asyncio.to_thread(dial)
        _prompt(writer.get_extra_info("socket"))
        _prompt(link)
        far_reader, far_writer = await asyncio.open_connection(sock=link)
        half = round_trip_s / 2
        with contextlib.suppress(asyncio.CancelledError):  # how the block ends
            await asyncio.gather(_carry(reader, far_writer, half), _carry(far_reader, writer, half))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def _prompt(link: socket.socket) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
    """Pieces in their order, each as late as it should be, and any number on the way."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, piece = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not piece:
                    break
                writer.write(piece)
                await writer.drain()
        writer.close()

    sending = asyncio.create_task(send())
    with contextlib.suppress(OSError):
        while piece := await reader.read(CHUNK):
            waiting.put_nowait((loop.time() + late_s, piece))
    waiting.put_nowait((loop.time() + late_s, b""))
    await sending


async def _end(servers: list[asyncio.AbstractServer]) -> None:
    for server in servers:
        server.close()
    mine = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not mine]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
