"""Host keys: whom we talk to. A key is pinned by the inventory, by the platform, or by the
cluster's known_hosts; no key is ever accepted because it was shown."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHClient
from paramiko.hostkeys import HostKeyEntry

from installer.cluster import Host
from installer.errors import InstallerError, Unreachable


def pinned(host: Host, known_hosts: Path) -> HostKeys:
    """The keys that `host` may show.

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
    return HostKeys(str(known_hosts)) if known_hosts.exists() else HostKeys()


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


def _name(host: Host) -> str:
    address = str(host.address)
    return address if host.ssh.port == 22 else f"[{address}]:{host.ssh.port}"
