"""An SSH server in this process that really runs the commands it is given."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import paramiko


class SSHServer(paramiko.ServerInterface):
    """Serves one connection per `dial`, to anyone who has the user's key."""

    def __init__(self, user_key: paramiko.PKey, directory: Path) -> None:
        self.host_key = paramiko.Ed25519Key.from_private_key_file(str(_new_key(directory, "host")))
        self.user_key = user_key
        self.commands: list[str] = []
        self.cut_before_reply = False
        self.transport: Callable[[socket.socket], paramiko.Transport] = paramiko.Transport
        self.environment = dict(os.environ)
        self._transports: list[paramiko.Transport] = []
        self._threads: list[threading.Thread] = []

    @property
    def host_key_line(self) -> str:
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    def dial(self) -> socket.socket:
        """A connected socket, the other end of which is served."""
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        listener.close()
        transport = self.transport(server)
        transport.add_server_key(self.host_key)
        self._transports.append(transport)
        transport.start_server(server=self, event=threading.Event())
        return client

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
            transport.sock.close()
        for thread in self._threads:
            thread.join()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = key.asbytes() == self.user_key.asbytes()
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.commands.append(command.decode())
        thread = threading.Thread(target=self._serve, args=(channel, command.decode()))
        self._threads.append(thread)
        thread.start()
        return True

    def _serve(self, channel: paramiko.Channel, command: str) -> None:
        if self.cut_before_reply:
            while channel.recv(1 << 16):
                pass
            channel.get_transport().close()
            return
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=self.environment,
            bufsize=0,
        )
        taking = threading.Thread(target=_take, args=(channel, process.stdin))
        giving = [
            threading.Thread(target=_give, args=(process.stdout, channel.sendall)),
            threading.Thread(target=_give, args=(process.stderr, channel.sendall_stderr)),
        ]
        for thread in (taking, *giving):
            thread.start()
        for thread in giving:
            thread.join()
        # The client may have gone, which some tests are about: then paramiko raises either.
        with contextlib.suppress(OSError, EOFError):
            channel.send_exit_status(process.wait())
            channel.close()
        taking.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def _take(channel: paramiko.Channel, stdin: BinaryIO) -> None:
    """What the client sends, until it ends or the command does not want more."""
    try:
        while piece := channel.recv(1 << 16):
            while piece:
                piece = piece[os.write(stdin.fileno(), piece) :]
    except BrokenPipeError:
        return
    stdin.close()


def _give(stream: BinaryIO, send: Callable[[bytes], None]) -> None:
    try:
        while piece := os.read(stream.fileno(), 1 << 16):
            send(piece)
    except (OSError, EOFError):
        return  # the client has gone


def _new_key(directory: Path, name: str) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = directory / name
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


def new_key(directory: Path, name: str = "user") -> Path:
    """A fresh ed25519 key in a file."""
    return _new_key(directory, name)
