"""Network namespaces that stand for hosts and pods. The root namespace is never touched.

    with Lab("rt-example") as lab:
        one = lab.host("node1", "198.18.0.11")       # joined to the bridge: eth0, default route
        two = lab.host("node2", "198.18.0.12")
        pod = lab.namespace("pod-a")                 # bare, only lo; a CNI plugin gets pod.path
        one.run("ping", "-c1", "198.18.0.12")        # commands
        with two.running("tcpdump", "-i", "eth0"):   # commands that go on; or popen, start
            ...
        with one.connect("198.18.0.12", 80) as link:  # sockets, held by this process
            link.sendall(b"x")
        one.inside(some_function)                    # anything else, in a thread that has joined

`with` waits until no other process has the lab, removes what a killed run left under the prefix,
and tears down on every way out. Without it, `ensure()` and `host()` converge, and the lab outlives
the process until `remove()`. Links are made from within (`ip -n LAB link add ... netns HOST`):
there is no link to the root namespace, and no way out.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_STREAM, socket
from types import TracebackType
from typing import IO, TypeVar

from romana.lab.command import LabError, execute, failure, ip
from romana.lab.exclusive import hold
from romana.lab.joining import apply_settings, join
from romana.lab.naming import HOSTS, Segment, check_prefix, hardware_address, interface_name, member

T = TypeVar("T")

NETNS = Path("/run/netns")
UPLINK = "eth0"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A named network namespace. The value is only the name; several may speak of the same one."""

    name: str

    @property
    def path(self) -> Path:
        """Its file under /run/netns, for a CNI plugin or `nsenter --net=`."""
        return NETNS / self.name

    @property
    def exists(self) -> bool:
        """Whether it is there, and not the empty file that a killed `ip netns add` leaves."""
        try:
            return self.path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
        except FileNotFoundError:
            return False

    def create(self) -> None:
        """Make it, with `lo` up and forwarding on, unless it is there."""
        if self.exists:
            return
        self.path.unlink(missing_ok=True)
        ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.inside(apply_settings)

    def delete(self) -> None:
        """Remove its name; it goes with the last process and socket in it. Absent is fine."""
        if self.exists:
            ip("netns", "del", self.name)
        self.path.unlink(missing_ok=True)

    def inside(self, work: Callable[[], T]) -> T:
        """Call `work` in a thread of its own that has joined this namespace; its result.

        Sockets that it opens stay in this namespace wherever they are used; so do children.
        """

        def joined() -> T:
            join(self.path)
            return work()

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(joined).result()

    def open(self, family: int = AF_INET, kind: int = SOCK_STREAM, protocol: int = 0) -> socket:
        """A new socket of this namespace."""
        return self.inside(lambda: socket(family, kind, protocol))

    def connect(self, address: str | IPv4Address, port: int, *, timeout_s: float = 10.0) -> socket:
        """A TCP connection from this namespace, in blocking mode.

        Raises:
            OSError: as `socket.connect`: refused, timed out, unreachable.
        """
        link = self.open(AF_INET6 if ":" in str(address) else AF_INET)
        try:
            link.settimeout(timeout_s)
            link.connect((str(address), port))
            link.settimeout(None)
        except BaseException:
            link.close()
            raise
        return link

    def command(self, *words: str) -> tuple[str, ...]:
        """The command line to run `words` in here; nsenter execs, so its pid is theirs."""
        return ("nsenter", f"--net={self.path}", "--", *words)

    def run(self, *words: str, stdin: str = "", timeout_s: float = 60.0, check: bool = True) -> str:
        """Run a command in here and return its standard output.

        Raises:
            LabError: it ended with an error (unless `check` is off) or did not end in time.
        """
        return execute(self.command(*words), stdin=stdin, timeout_s=timeout_s, check=check)

    def popen(
        self,
        *words: str,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command in here, in a session of its own; teardown kills it, the caller reaps."""
        return subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=env,
            start_new_session=True,
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs in here for as long as the block; killed and reaped at its end."""
        process = self.popen(*words)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def run_async(
        self, *words: str, stdin: str = "", timeout_s: float = 60.0, check: bool = True
    ) -> str:
        """`run`, for use in an event loop."""
        process = await self.start(*words, stdin=asyncio.subprocess.PIPE)
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), timeout_s)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            raise LabError(f"{' '.join(words)}: no end within {timeout_s:g} s") from None
        if check and process.returncode:
            raise LabError(failure(words, process.returncode, err.decode() or out.decode()))
        return out.decode()

    async def start(
        self,
        *words: str,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.PIPE,
        stderr: int = asyncio.subprocess.PIPE,
    ) -> asyncio.subprocess.Process:
        """`popen`, for use in an event loop."""
        return await asyncio.create_subprocess_exec(
            *self.command(*words), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )

    def ip(self, *words: str) -> str:
        """`ip` on this namespace."""
        return ip("-n", self.name, *words)

    def links(self) -> frozenset[str]:
        """Names of the interfaces in here."""
        lines = self.ip("-o", "link", "show").splitlines()
        return frozenset(line.split(": ")[1].split("@")[0] for line in lines)

    def processes(self) -> tuple[int, ...]:
        """Process ids of everything that lives in here, this process excepted."""
        if not self.exists:
            return ()
        return tuple(
            pid for pid in map(int, ip("netns", "pids", self.name).split()) if pid != os.getpid()
        )


class Lab(Namespace):
    """The outer namespace: one bridge for each segment, and IPv4 forwarding between them.

    Args:
        prefix: the lab's name and the prefix of all that is made for it.
        hosts: network of the default segment; the bridge has its first address.
    """

    __slots__ = ("_default", "_mark")

    def __init__(self, prefix: str, hosts: IPv4Network = HOSTS) -> None:
        super().__init__(check_prefix(prefix))
        object.__setattr__(self, "_default", Segment(name="default", network=hosts))

    _default: Segment
    _mark: socket

    @property
    def default(self) -> Segment:
        """The segment that hosts join unless told otherwise."""
        return self._default

    def ensure(self) -> Lab:
        """Make the outer namespace and the default segment where they are missing."""
        self.create()
        self.segment(self._default)
        return self

    def segment(self, segment: Segment) -> Segment:
        """Make one more layer 2 network, unless it is there."""
        if segment.bridge not in self.links():
            self.ip(
                "link",
                "add",
                segment.bridge,
                "type",
                "bridge",
                "stp_state",
                "0",
                "forward_delay",
                "0",
            )
        self.ip("address", "replace", str(segment.gateway), "dev", segment.bridge)
        self.ip("link", "set", segment.bridge, "up")
        return segment

    def namespace(self, name: str) -> Namespace:
        """A bare namespace of this lab (a pod, say), made unless it is there."""
        inner = self.member(name)
        inner.create()
        return inner

    def member(self, name: str) -> Namespace:
        """The namespace of that name in this lab, whether it is there or not."""
        return Namespace(member(self.name, name))

    def host(
        self, name: str, address: str | IPv4Address, segment: Segment | None = None
    ) -> Namespace:
        """A namespace joined to a segment by its `eth0`, with address and default route. Converges.

        Raises:
            ValueError: the address does not fit the segment.
        """
        where = segment or self._default
        wanted = where.interface(address)
        host = self.namespace(name)
        port = interface_name("v", name)
        if UPLINK not in host.links():
            self._drop(port)
            far = ("name", UPLINK, "address", hardware_address(host.name), "netns", host.name)
            self.ip("link", "add", port, "type", "veth", "peer", *far)
        self.ip("link", "set", port, "master", where.bridge, "up")
        host.ip("address", "replace", str(wanted), "dev", UPLINK)
        host.ip("link", "set", UPLINK, "up")
        host.ip("route", "replace", "default", "via", str(where.gateway.ip))
        return host

    def _drop(self, port: str) -> None:
        """Remove a bridge's port, unless the kernel does at this moment, with its namespace."""
        if port in self.links():
            try:
                self.ip("link", "del", port)
            except LabError:
                if port in self.links():
                    raise

    def remove(self) -> None:
        """End every process in the lab's namespaces, and remove them all. Absent is fine."""
        from romana.lab.leftovers import remove

        remove(self.name)

    def __enter__(self) -> Lab:
        object.__setattr__(self, "_mark", hold(self.name))
        try:
            self.remove()
            return self.ensure()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.remove()
        finally:
            self._mark.close()
