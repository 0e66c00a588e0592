"""Host keys: whom we talk to. A key is pinned by the inventory, by the platform, or by the
cluster's known_hosts, or by the operator's own; no key is ever accepted because it was shown."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHClient
from paramiko.hostkeys import HostKeyEntry

from installer.cluster import Bastion, Host
from installer.errors import InstallerError, Unreachable

OWN = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))
"""What OpenSSH on this machine goes by."""


def pinned(host: Host | Bastion, known_hosts: Path) -> HostKeys:
    """The keys that `host` may show: the inventory's, or those of the first file that knows it.

    Args:
        host: whose.
        known_hosts: the cluster's file, which comes before the operator's own.

    Raises:
        InstallerError: `host_key` of the inventory is not a public key.
    """
    name = _name(host)
    if host.ssh.host_key:
        keys = HostKeys()
        entry = HostKeyEntry.from_line(f"{name} {host.ssh.host_key}")
        if entry is None or entry.key is None:
            raise InstallerError(
                f"{host.name}: host_key is not an OpenSSH public key",
                'write it as in known_hosts: host_key: "ssh-ed25519 AAAA..."',
            )
        keys.add(name, entry.key.get_name(), entry.key)
        return keys
    for path in (known_hosts, *OWN):
        found = _read(path.expanduser())
        if found.lookup(name) is not None:
            return found
    return HostKeys()


def _read(path: Path) -> HostKeys:
    return _parsed(path, path.stat().st_mtime_ns) if path.exists() else HostKeys()


@lru_cache(maxsize=8)
def _parsed(path: Path, changed_ns: int) -> HostKeys:
    """A file of keys, which many hosts are looked up in."""
    return HostKeys(str(path))


class Refuse(MissingHostKeyPolicy):
    """Refuses a host whose key nobody has vouched for, and says which key it showed.

    Args:
        host: the host's name in the inventory.
    """

    def __init__(self, host: str) -> None:
        self.host = host

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        """Called by paramiko for a host without a known key."""
        line = f"{key.get_name()} {key.get_base64()}"
        raise Unreachable(
            self.host,
            f"{self.host}: nobody vouches for the host key it shows, {fingerprint(key)}",
            f'if it is the host\'s, add host_key: "{line}" to it in the inventory',
        )


def fingerprint(key: PKey) -> str:
    """The fingerprint as ssh-keygen -l shows it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def _name(host: Host | Bastion) -> str:
    return host.login if host.ssh.port == 22 else f"[{host.login}]:{host.ssh.port}"
