"""The sshd of Ubuntu 14.04, OpenSSH 6.6: what it offers and what we offer meet, and what no longer
does is said."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from installer.errors import Unreachable

BANNER = "SSH-2.0-OpenSSH_6.6.1p1 Ubuntu-2ubuntu2.13"
# Its defaults, in its order: sshd_config(5) of 6.6.
KEX = (
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
)
HOST_KEYS = ("ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ssh-ed25519")
CIPHERS = (
    *("aes128-ctr", "aes192-ctr", "aes256-ctr", "arcfour256", "arcfour128"),
    *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"),
    *("aes128-cbc", "3des-cbc", "blowfish-cbc", "cast128-cbc", "aes192-cbc", "aes256-cbc"),
)
MACS = (
    *("hmac-md5-etm@openssh.com", "hmac-sha1-etm@openssh.com", "umac-64-etm@openssh.com"),
    *("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-md5", "hmac-sha1"),
    *("umac-64@openssh.com", "umac-128@openssh.com", "hmac-sha2-256", "hmac-sha2-512"),
)
USER_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


def old(sock: socket.socket) -> paramiko.Transport:
    """A server of that time: its name, what it offers, and no word of signatures with SHA-2."""
    transport = paramiko.Transport(
        sock,
        disabled_algorithms={"pubkeys": ["rsa-sha2-256", "rsa-sha2-512"]},
        server_sig_algs=False,
    )
    transport.local_version = BANNER
    options = transport.get_security_options()
    options.kex = [each for each in KEX if each in options.kex]
    options.ciphers = [each for each in CIPHERS if each in options.ciphers]
    options.digests = [each for each in MACS if each in options.digests]
    options.key_types = [each for each in HOST_KEYS if each in options.key_types]
    return transport


@pytest.fixture
def old_reach(reach: Any) -> Any:
    """A host of that time that answers."""
    reach.server.transport = old
    return reach


def write(path: Path, key: Any) -> Path:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("offered", "has"),
    [
        (paramiko.Transport._preferred_kex, KEX),
        (paramiko.Transport._preferred_keys, HOST_KEYS),
        (paramiko.Transport._preferred_ciphers, CIPHERS),
        (paramiko.Transport._preferred_macs, MACS),
        (paramiko.Transport._preferred_pubkeys, USER_KEYS),
    ],
    ids=["key exchange", "host key", "cipher", "mac", "user key"],
)
def test_what_we_offer_and_what_it_has_meet(offered: tuple[str, ...], has: tuple[str, ...]) -> None:
    common = [each for each in offered if each in has]
    assert common
    # And not in something that is broken today.
    assert not any(word in common[0] for word in ("sha1", "md5", "arcfour", "3des", "dss"))


def test_an_ed25519_key_logs_in(old_reach: Any) -> None:
    session = old_reach.connect()
    assert session.run("echo in").stdout == "in\n"
    assert session._transport().remote_version == BANNER


def test_an_ecdsa_key_logs_in_at_a_host_with_an_ecdsa_key_alone(
    old_reach: Any, tmp_path: Path
) -> None:
    user = write(tmp_path / "ecdsa", ec.generate_private_key(ec.SECP256R1()))
    host = write(tmp_path / "host-ecdsa", ec.generate_private_key(ec.SECP256R1()))
    old_reach.server.user_key = paramiko.ECDSAKey.from_private_key_file(str(user))
    old_reach.server.host_key = paramiko.ECDSAKey.from_private_key_file(str(host))
    session = old_reach.connect(key=user, host_key=old_reach.server.host_key_line)
    assert session.run("echo in").stdout == "in\n"


def test_a_key_with_a_passphrase_is_said_to_be_one(reach: Any, tmp_path: Path) -> None:
    path = tmp_path / "locked"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(Unreachable, match="cannot be read") as caught:
        reach.connect(key=path)
    assert "without a passphrase" in str(caught.value.advice)


def test_an_rsa_key_is_refused_with_what_to_use(old_reach: Any, tmp_path: Path) -> None:
    """Its sshd knows RSA with SHA-1 alone, which no client of today signs with; nor do we."""
    user = write(tmp_path / "rsa", rsa.generate_private_key(65537, 2048))
    old_reach.server.user_key = paramiko.RSAKey.from_private_key_file(str(user))
    with pytest.raises(Unreachable) as caught:
        old_reach.connect(key=user)
    assert "OpenSSH 6.6 needs an ed25519 or ECDSA key" in str(caught.value.advice)


def test_a_host_with_an_rsa_key_alone_is_told_to_make_another(
    old_reach: Any, tmp_path: Path, new_key: Callable[[str], Path]
) -> None:
    host = write(tmp_path / "host-rsa", rsa.generate_private_key(65537, 2048))
    old_reach.server.host_key = paramiko.RSAKey.from_private_key_file(str(host))
    with pytest.raises(Unreachable) as caught:
        old_reach.connect(host_key=old_reach.server.host_key_line)
    assert "ssh-keygen -A" in str(caught.value.advice)
    assert "\n" not in caught.value.message
