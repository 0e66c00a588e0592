"""The keys of hosts that are about to be launched: delivered by user data, so that the first
connection is a verified one, and replaced at the first login, since user data can be read there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from installer.platforms.keys import public_line

DELIVERED = "romana-delivered"
"""The comment of a host key that was delivered and has not been replaced yet."""
_CONSOLE = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(?P<keys>.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL
)
_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256) (AAAA[0-9A-Za-z+/=]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a new host is told about itself.

    Args:
        nonce: unlike any other launch's.
        host_key: the public line of its host key; empty where it makes its own.
        user_data: for cloud-init.
    """

    nonce: str
    host_key: str
    user_data: str


def ensure(path: Path, host: str, kind: str, *, delivered: bool) -> Identity:
    """The identity of a launch. Made once and kept until the host has its own key, so that a
    launch that was cut off is repeated in the same words.

    Args:
        path: where the private key is kept.
        host: the host's name.
        kind: "ed25519" or "ecdsa".
        delivered: whether the host gets the key; otherwise it is a nonce only.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(_generate(kind))
        new.rename(path)
    secret = path.read_text()
    public = public_line(path)
    return Identity(
        nonce=public,
        host_key=f"{public} {DELIVERED}" if delivered else "",
        user_data=user_data(host, kind, secret, public) if delivered else user_data(host),
    )


def _generate(kind: str) -> bytes:
    key = (
        ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else Ed25519PrivateKey.generate()
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def user_data(host: str, kind: str = "", secret: str = "", public: str = "") -> str:
    """The text for cloud-init: name, and host key if there is one to deliver."""
    content: dict[str, object] = {"hostname": host, "manage_etc_hosts": "localhost"}
    if secret:
        content |= {
            "ssh_deletekeys": True,
            "ssh_keys": {f"{kind}_private": secret, f"{kind}_public": public},
        }
    return "#cloud-config\n" + yaml.safe_dump(content, sort_keys=False)


def from_console(text: str) -> str:
    """The host key that cloud-init has printed on the console, ed25519 if there is one; or nothing.

    The block with the keys themselves is read, not the one with fingerprints.
    """
    keys: dict[str, str] = {}
    for match in _CONSOLE.finditer(text):
        keys = dict(_KEY.findall(match["keys"]))  # the last boot's
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
        if kind in keys:
            return f"{kind} {keys[kind]}"
    return ""
