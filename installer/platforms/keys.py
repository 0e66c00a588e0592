"""ed25519 keys in OpenSSH's formats: the operator's per cluster, and each host's own."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from installer.errors import PlatformError


def ensure_key(path: Path) -> str:
    """The public line of the private key at `path`, which is made (0600) if it is not there."""
    public = path.with_name(f"{path.name}.pub")
    if not (path.exists() and public.exists()):
        key = Ed25519PrivateKey.generate()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The public half comes last: with both there, they belong together.
        public.unlink(missing_ok=True)
        _write(path, secret, 0o600)
        _write(public, line + b"\n", 0o644)
    return public.read_text().strip()


def public_line(path: Path) -> str:
    """The public line of a private key: of the file beside it, or worked out.

    Raises:
        PlatformError: it is no private key, or has a passphrase and no public half beside it.
    """
    beside = path.with_name(f"{path.name}.pub")
    if beside.exists():
        return beside.read_text().strip()
    content = path.read_bytes()
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        key = load(content, password=None)
    except (ValueError, TypeError) as error:
        raise PlatformError(
            f"{path}: its public half cannot be read: {error}",
            f"write it beside it: ssh-keygen -y -f {path} > {beside}",
        ) from error
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
    temporary.rename(path)
