"""SSH to one host: one connection (fabric, paramiko), over which scripts and files go in one round
trip each.

Files travel as a tar in front of the script, on the standard input of one remote command: no
temporary file here, no second channel, no separate upload. A script without files goes to `sh`
directly, wrapped in braces, so that a connection that breaks in its middle leaves a syntax error
and not half a script.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from fabric.config import Config
from fabric.connection import Connection as Fabric
from paramiko import (
    AuthenticationException,
    BadHostKeyException,
    Channel,
    PasswordRequiredException,
    PKey,
    SSHException,
    Transport,
)
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import IncompatiblePeer

from installer.cluster import Bastion, Host
from installer.errors import CommandFailed, Unreachable
from installer.hosts import sudo
from installer.hosts.bastions import Bastions
from installer.hosts.keys import Refuse, fingerprint, pinned
from installer.hosts.session import CHUNK, Line, Output, Sent, pack
from installer.resources.base import Payload

KEEPALIVE_S = 15
SILENT_S = 30
"""A host that has not even acknowledged a packet for so long is gone. Left alone, the kernel tries
for a quarter of an hour."""
PREPARE = (
    "export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n"
)
# What paramiko has to say comes as an exception; on its own it would print it beside our output.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
UNPACK = (
    "dir=$(mktemp -d /var/tmp/romana-XXXXXXXX) || exit 1\n"
    "trap 'cd / && rm -rf \"$dir\"' EXIT\n"
    'cd "$dir" && tar -xf - && sh ./script </dev/null\n'
)


class Connection:
    """A session over SSH. Made by `connect`."""

    def __init__(self, host: Host, connection: Fabric) -> None:
        self._host = host
        self._connection = connection
        self._round_trips = 1
        # A password file says that one is needed; otherwise sudo is asked first.
        self._asked = host.ssh.user != "root" and host.ssh.sudo_password_file is not None

    @property
    def host(self) -> str:
        """The host's name."""
        return self._host.name

    @property
    def round_trips(self) -> int:
        """Commands run so far, and the connection."""
        return self._round_trips

    def run(
        self,
        script: str,
        *,
        timeout_s: float = 60,
        files: Sequence[Payload] = (),
        on_line: Line | None = None,
        on_sent: Sent | None = None,
    ) -> Output:
        """See Session."""
        deadline = time.monotonic() + timeout_s
        once = partial(self._run, script, deadline, files, on_line, on_sent)
        try:
            output = once()
            if self._asked or not sudo.wants_password(output):
                return output
            if self._host.ssh.sudo_password is None:
                raise sudo.refused(self._host)
            self._asked = True
            return once()
        except TimeoutError as error:
            raise CommandFailed(
                self.host,
                f"{self.host}: a command did not end within {timeout_s:.0f} s",
                f"look at the host itself: romana-install ssh {self.host}",
            ) from error
        except (SSHException, EOFError, OSError) as error:
            raise Unreachable(
                self.host,
                f"{self.host}: the connection was lost: {error or type(error).__name__}",
                "run the same command again once the host is back",
            ) from error

    def _run(
        self,
        script: str,
        deadline: float,
        files: Sequence[Payload],
        on_line: Line | None,
        on_sent: Sent | None,
    ) -> Output:
        self._round_trips += 1
        with contextlib.closing(self._transport().open_session(timeout=15)) as channel:
            left = max(0.001, deadline - time.monotonic())
            channel.settimeout(left)
            command = PREPARE + (UNPACK if files else "sh -s\n")
            if self._asked:
                sudo.begin(channel, self._host, command, left)
            else:
                channel.exec_command(sudo.plain(self._host, command))
            try:
                _send(channel, script, files, on_sent)
            except OSError:
                # The command may have ended without reading: what it said is worth more than ours.
                if not channel.exit_status_ready():
                    raise
            output = _receive(channel, deadline, on_line)
            # Without an exit status, either the script was killed or the connection is gone.
            if output.status < 0:
                self._transport()
            return output

    def keep_alive(self) -> None:
        """Has a dead connection noticed, and a quiet one kept open by routers on the way."""
        self._transport().set_keepalive(KEEPALIVE_S)

    def close(self) -> None:
        """Ends the session."""
        self._connection.close()  # type: ignore[no-untyped-call]

    def _transport(self) -> Transport:
        transport: Transport | None = self._connection.transport
        if transport is None:
            raise EOFError("it was never open")
        if not transport.is_active():
            error = transport.get_exception()
            raise EOFError(str(error or "") or "closed by the host")
        return transport


def connect(
    host: Host, known_hosts: Path, *, bastions: Bastions | None = None, timeout_s: float = 15
) -> Connection:
    """Opens the connection to a host.

    Args:
        host: `ssh.bastion` names one of `bastions`, or is empty.
        known_hosts: the cluster's file of pinned keys.
        bastions: ways in.
        timeout_s: limit for the TCP connection and for the SSH handshake, each.

    Raises:
        Unreachable: in one line, with what to do.
    """
    gateway = bastions.way(host) if bastions is not None else None
    connection = _open(host, known_hosts, gateway, timeout_s)
    session = Connection(host, connection)
    session.keep_alive()
    return session


def ways(cluster_hosts: Sequence[Host | Bastion], known_hosts: Path) -> Bastions:
    """Ways in through any of these hosts, to be closed after the sessions that use them.

    Args:
        cluster_hosts: the cluster's, and its bastions.
        known_hosts: the cluster's file of pinned keys.
    """

    def through(host: Host | Bastion, gateway: Fabric | None) -> Fabric:
        opened = _open(host, known_hosts, gateway, timeout_s=15)
        assert opened.transport is not None
        opened.transport.set_keepalive(KEEPALIVE_S)
        return opened

    return Bastions(cluster_hosts, through)


def _open(
    host: Host | Bastion, known_hosts: Path, gateway: Fabric | None, timeout_s: float
) -> Fabric:
    with _as_unreachable(host):
        kwargs = _credentials(host)
        keys = pinned(host, known_hosts)
        sock = _socket(host, timeout_s) if gateway is None else None
        connection = Fabric(  # type: ignore[no-untyped-call]
            host.login,
            user=host.ssh.user,
            port=host.ssh.port,
            gateway=gateway,
            connect_kwargs={
                **kwargs,
                **({"sock": sock} if sock is not None else {}),
                "timeout": timeout_s,
                "banner_timeout": timeout_s,
                "auth_timeout": timeout_s,
            },
            config=_config(),
        )
        client = connection.client
        assert client is not None  # fabric makes it with the connection
        client.set_missing_host_key_policy(Refuse(host.name))
        client.get_host_keys().update(keys)
        try:
            connection.open()  # type: ignore[no-untyped-call]
        except BaseException:
            client.close()
            if sock is not None:
                sock.close()
            raise
    return connection


@cache
def _config() -> Config:
    """The same for all connections: to read it takes longer than to log in."""
    return Config(overrides={"load_ssh_configs": False})  # type: ignore[no-untyped-call]


def _credentials(host: Host | Bastion) -> dict[str, Any]:
    """Keys to log in with: only the named one, since an agent with many runs into MaxAuthTries."""
    key = host.ssh.key
    if key is None:
        return {"allow_agent": True, "look_for_keys": True}
    if not key.exists():
        raise Unreachable(
            host.name,
            f"{host.name}: the key to log in with is missing: {key}",
            "put it back, or name another in the inventory; hosts of a sandbox get a new one "
            "when it is installed again",
        )
    try:
        # Not its file name: paramiko would then try each kind of key in turn, and where the host
        # refuses it, complain of the last kind that it is not.
        loaded = PKey.from_path(key)
    except (UnknownKeyType, SSHException, TypeError, ValueError) as error:
        raise Unreachable(
            host.name,
            f"{host.name}: the key to log in with cannot be read: {key}: {error}",
            "name one without a passphrase, or none: then the keys of your SSH agent are offered",
        ) from error
    return {"allow_agent": False, "look_for_keys": False, "pkey": loaded}


def _socket(host: Host | Bastion, timeout_s: float) -> socket.socket:
    """A connected socket. paramiko leaves Nagle's algorithm on, which costs 40 ms for every
    command."""
    if host.ssh.dial is not None:
        sock = host.ssh.dial()
    else:
        sock = socket.create_connection((host.login, host.ssh.port), timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
    return sock


@contextlib.contextmanager
def _as_unreachable(host: Host | Bastion) -> Iterator[None]:
    where = f"{host.name} ({host.ssh.user}@{host.login}:{host.ssh.port})"
    try:
        yield
    except BadHostKeyException as error:
        raise Unreachable(
            host.name,
            f"{where}: shows the host key {fingerprint(error.key)}, but "
            f"{fingerprint(error.expected_key)} is pinned",
            "someone may be in between; if the host was set up anew, replace the pinned key",
        ) from error
    except (AuthenticationException, PasswordRequiredException) as error:
        key = host.ssh.key or "your agent's keys"
        raise Unreachable(
            host.name,
            f"{where}: refuses {key} ({error})",
            "check user and key of the host; OpenSSH 6.6 needs an ed25519 or ECDSA key",
        ) from error
    except IncompatiblePeer as error:
        raise Unreachable(
            host.name,
            f"{where}: speaks no SSH of today: {error}",
            "an old server may lack a host key that is still accepted: ssh-keygen -A there makes "
            "an ed25519 and an ECDSA one",
        ) from error
    except (OSError, SSHException, EOFError) as error:
        raise Unreachable(
            host.name,
            f"{where}: no SSH connection: {error or type(error).__name__}",
            "check that the host is up and that its address and port are right",
        ) from error


def _send(channel: Channel, script: str, files: Sequence[Payload], on_sent: Sent | None) -> None:
    if not files:
        channel.sendall(f"{{\n{script}\n}}\n".encode())
    else:
        total, pieces = pack([*files, Payload(name="script", content=script.encode())])
        done = 0
        for piece in pieces:
            # The other end may stop reading (a full disk): its message is worth more than ours.
            if channel.exit_status_ready():
                break
            channel.sendall(piece)
            done += len(piece)
            if on_sent is not None:
                on_sent(done, total)
    channel.shutdown_write()


def _receive(channel: Channel, deadline: float, on_line: Line | None) -> Output:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    text, seen = "", 0
    while True:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        piece = channel.recv(CHUNK)
        text += decode(piece, not piece)
        while on_line is not None and (end := text.find("\n", seen)) >= 0:
            on_line(text[seen:end])
            seen = end + 1
        if not piece:
            break
    errors = b"".join(iter(lambda: channel.recv_stderr(CHUNK), b""))
    channel.status_event.wait(max(0.001, deadline - time.monotonic()))
    return Output(
        status=channel.recv_exit_status(), stdout=text, stderr=errors.decode(errors="replace")
    )
