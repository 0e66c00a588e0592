"""A real SSH connection to a server in this process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import paramiko
import pytest

from installer.cluster import SSH, Host
from installer.hosts.connection import Connection, connect

_spec = importlib.util.spec_from_file_location(
    "ssh_server", Path(__file__).parent / "ssh_server.py"
)
assert _spec
assert _spec.loader
_server = importlib.util.module_from_spec(_spec)
sys.modules["ssh_server"] = _server
_spec.loader.exec_module(_server)


@dataclass
class Reach:
    """A server, the host that it is, and connections to it."""

    server: Any
    host: Host
    known_hosts: Path
    opened: list[Connection]

    def connect(self, **ssh: Any) -> Connection:
        host = replace(self.host, ssh=replace(self.host.ssh, **ssh))
        connection = connect(host, self.known_hosts, timeout_s=5)
        self.opened.append(connection)
        return connection


@pytest.fixture
def reach(tmp_path: Path) -> Iterator[Reach]:
    """A host that answers."""
    key = _server.new_key(tmp_path)
    server = _server.SSHServer(paramiko.Ed25519Key.from_private_key_file(str(key)), tmp_path)
    ssh = SSH(key=key, host_key=server.host_key_line, dial=server.dial)
    host = Host(name="node1", address=IPv4Address("198.18.0.11"), groups=("nodes",), ssh=ssh)
    found = Reach(server, host, tmp_path / "known_hosts", [])
    yield found
    for connection in found.opened:
        connection.close()
    server.close()


@pytest.fixture
def new_key(tmp_path: Path) -> Callable[[str], Path]:
    """Makes keys."""
    return lambda name: _server.new_key(tmp_path, name)
