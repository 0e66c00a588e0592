"""The files that a host's own layer starts with (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from installer.platforms.sandbox.content import FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A file of a host. `path` is absolute on the host."""

    path: str
    text: str
    mode: int = 0o644


def seeds(
    *, hostname: str, machine_id: str, host_key: str, host_public: str, user_public: str
) -> tuple[Seed, ...]:
    """The files of one host.

    Args:
        hostname: its name in the inventory.
        machine_id: 32 hexadecimal digits, unlike any other host's (machine-id(5)).
        host_key: sshd's private key.
        host_public: its public line.
        user_public: the public line of the key that may log in as root.
    """
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost\n"
    return (
        *(Seed(path=path, text=text, mode=_mode(text)) for path, text in FILES),
        Seed(path="/etc/hostname", text=f"{hostname}\n"),
        Seed(path="/etc/hosts", text=hosts),
        Seed(path="/etc/machine-id", text=f"{machine_id}\n", mode=0o444),
        Seed(path="/etc/ssh/ssh_host_ed25519_key", text=host_key, mode=0o600),
        Seed(path="/etc/ssh/ssh_host_ed25519_key.pub", text=f"{host_public}\n"),
        login(user_public),
    )


def login(user_public: str) -> Seed:
    """Who may log in as root."""
    return Seed(path="/root/.ssh/authorized_keys", text=f"{user_public}\n", mode=0o600)


def _mode(text: str) -> int:
    return 0o755 if text.startswith("#!") else 0o644
