"""Takes up a cluster whose state directory was lost: its authorities and its encryption key lie on
its controllers."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from installer import pki
from installer.cluster import Cluster
from installer.events import Emit, Notice
from installer.hosts.session import Session

PKI = "/etc/kubernetes/pki"
ENCRYPTION = "/etc/kubernetes/encryption.yaml"


def adopt_lost(cluster: Cluster, sessions: Mapping[str, Session], emit: Emit) -> None:
    """Restores the state directory from the first controller that holds a cluster; without one,
    does nothing.

    Raises:
        InstallerError: what the controller holds is not a cluster's.
        HostError: it cannot be read.
    """
    if pki.exists(cluster):
        return
    for host in cluster.controllers:
        if host.name not in sessions:
            continue
        held = parse(sessions[host.name].run(script()).stdout)
        key = encryption_key(held.pop(ENCRYPTION, b"").decode())
        if key and held.keys() >= set(pki.ADOPTABLE):
            pki.adopt(cluster, held, key)
            text = f"state of cluster {cluster.name} was lost here; taken over from {host.name}"
            emit(Notice(text=text, level="warning"))
            return


def script() -> str:
    """Sh text that prints "name base64" of each file that is there."""
    names = " ".join(pki.ADOPTABLE)
    return (
        f'show() {{ [ ! -f "$2" ] || echo "$1 $(base64 <"$2" | tr -d \'\\n\')"; }}\n'
        f'for name in {names}; do show "$name" "{PKI}/$name"; done\n'
        f"show {ENCRYPTION} {ENCRYPTION}\n"
    )


def parse(output: str) -> dict[str, bytes]:
    """Content by name."""
    rows = (line.split() for line in output.splitlines())
    return {row[0]: base64.b64decode(row[1]) for row in rows if len(row) == 2}


def encryption_key(configuration: str) -> str:
    """The first key of an EncryptionConfiguration, or nothing."""
    match = re.search(r"secret: *\"?([A-Za-z0-9+/=]+)", configuration)
    return match[1] if match else ""
