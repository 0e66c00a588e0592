"""`python -m romana.lab.forward NAMESPACE PORT ADDRESS TARGET`: a port of this machine into a lab.

Listens on 127.0.0.1:PORT in its own network namespace and carries each connection to ADDRESS:TARGET
as seen from NAMESPACE. Nothing but this process joins the two; when it ends, so does the way in.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from romana.lab.joining import join
from romana.lab.namespaces import Namespace

MODULE = "romana.lab.forward"
CONNECT_LIMIT_S = 10.0
_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A way in: its words on the command line, by which it is found again."""

    namespace: str
    port: int
    address: str
    target: int

    @property
    def words(self) -> tuple[str, ...]:
        """The command line, less the interpreter."""
        return ("-m", MODULE, self.namespace, str(self.port), self.address, str(self.target))


def parse(words: list[str]) -> Forward | None:
    """The way in that a command line (with its interpreter) is for; None if it is another's."""
    if len(words) != 7 or words[1:3] != ["-m", MODULE]:
        return None
    namespace, port, address, target = words[3:]
    return Forward(namespace=namespace, port=int(port), address=address, target=int(target))


async def serve(forward: Forward) -> None:
    """Forward until cancelled.

    Raises:
        OSError: the port is taken, or the namespace is not there.
    """
    where = Namespace(forward.namespace)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, initializer=join, initargs=(where.path,)) as inside:

        def dial() -> socket.socket:
            return socket.create_connection((forward.address, forward.target), CONNECT_LIMIT_S)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                link = await loop.run_in_executor(inside, dial)
            except OSError:
                # Nobody listens yet: the client sees its connection end, as with a closed port.
                writer.close()
                return
            far_reader, far_writer = await asyncio.open_connection(sock=link)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

        server = await asyncio.start_server(carry, "127.0.0.1", forward.port)
        async with server:
            await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Either side may go away at any time; the other is then told by the end of its stream.
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


def find(namespace: str) -> dict[int, Forward]:
    """Running forwarders into a namespace, by process id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # A process may end while it is looked at.
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                forward = parse(words[:-1])
                if forward and forward.namespace == namespace:
                    found[int(folder.name)] = forward
    return found


def main(words: list[str]) -> int:
    """Serve; 1 with a line on standard error if it cannot."""
    forward = parse(["python", "-m", MODULE, *words])
    if forward is None:
        sys.stderr.write(f"usage: python -m {MODULE} NAMESPACE PORT ADDRESS TARGET\n")
        return 2
    try:
        asyncio.run(serve(forward))
    except OSError as error:
        sys.stderr.write(f"forward 127.0.0.1:{forward.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
