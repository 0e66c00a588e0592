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
)


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


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
    temporary.rename(path)
