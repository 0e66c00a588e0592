"""What is known of Vagrant's machines: how to log in, and by which host key each is recognised.

A machine has a new id each time that it is made; Vagrant keeps it in `.vagrant`. What was learnt
of a machine holds for as long as its id does, so that most commands need not start Vagrant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from installer.cluster import SSH, Host
from installer.errors import PlatformError

TOLD = "ROMANA_VAGRANT"
"""The variable in which the Vagrantfile's provisioner tells of the machines; where it is set,
Vagrant itself is at work, and is not called."""
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of Vagrant's; `key` is the file to log in with."""

    id: str
    provider: str
    user: str
    key: str
    host_key: str

    def reach(self, host: Host) -> Host:
        """The host with how to log in; its address is the machine's own."""
        key = Path(self.key)
        return replace(host, ssh=SSH(user=self.user, key=key, host_key=self.host_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """That a machine was made, and not destroyed by Vagrant since."""

    id: str
    provider: str


def active(dotfiles: Path, name: str) -> Active | None:
    """What Vagrant keeps of a machine.

    Args:
        dotfiles: the directory `.vagrant`.
        name: of the machine.
    """
    for file in sorted(dotfiles.glob(f"machines/{name}/*/id")):
        return Active(id=file.read_text().strip(), provider=file.parent.name)
    return None


def made(dotfiles: Path) -> tuple[str, ...]:
    """Names of all machines that Vagrant has made and not destroyed."""
    return tuple(sorted({file.parents[1].name for file in dotfiles.glob("machines/*/*/id")}))


def dotfiles(folder: Path, environment: Mapping[str, str]) -> Path:
    """Where Vagrant keeps what it knows of the machines of a Vagrantfile."""
    return folder / environment.get("VAGRANT_DOTFILE_PATH", ".vagrant")


def told(text: str) -> dict[str, Machine]:
    """Machines as the Vagrantfile's provisioner tells of them: `TOLD`.

    Raises:
        PlatformError: it is not what the provisioner writes.
    """
    try:
        return {name: _told(name, values) for name, values in json.loads(text).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError(
            f"{TOLD} is not what the Vagrantfile writes: {error}", f"unset {TOLD} and run again"
        ) from error


def _told(name: str, values: Mapping[str, Any]) -> Machine:
    return Machine(
        id=values["id"],
        provider=values["provider"],
        user=values["user"],
        key=values["key"],
        host_key=choose_key(name, values["host_keys"]),
    )


def choose_key(name: str, lines: Iterable[str]) -> str:
    """Of a machine's host keys the one to pin: "ssh-ed25519 AAAA...".

    Args:
        name: of the machine.
        lines: of its /etc/ssh/ssh_host_*_key.pub.

    Raises:
        PlatformError: there is none.
    """
    pairs = [line.split()[:2] for line in lines if len(line.split()) >= 2]
    ranked = sorted(pairs, key=lambda pair: _rank(pair[0]))
    if not ranked:
        raise PlatformError(f"{name} has no SSH host key", f"make it anew: vagrant destroy {name}")
    return " ".join(ranked[0])


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def load(record: Path) -> dict[str, Machine]:
    """The machines that were learnt of earlier."""
    try:
        kept = json.loads(record.read_text())
        return {name: Machine(**values) for name, values in kept.items()}
    except (FileNotFoundError, ValueError, TypeError):
        # Learnt again where it is missing or from another release.
        return {}


def save(record: Path, machines: Mapping[str, Machine]) -> None:
    """Keeps them for `load`."""
    text = json.dumps({name: asdict(machine) for name, machine in machines.items()}, indent=1)
    if not record.exists() or record.read_text() != text:
        new = record.with_suffix(".new")
        new.write_text(text)
        new.replace(record)
