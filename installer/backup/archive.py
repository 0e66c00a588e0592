"""The file that a backup is: a tar.gz whose first member describes the others by their sha256.

It is written whole or not at all, read back at once, and read completely before anything is
restored from it: a backup that a byte is wrong in restores nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import get_args

from installer.cluster import Platform
from installer.errors import InstallerError

FORMAT = 1
SNAPSHOT = "etcd.db"
STATE = "state/"
_FIRST = "backup.json"
_OTHERS = "take another backup; nothing was touched"
_LEFT_OUT = {
    *("logs", "backups", "ssh", "lock", "claims", "journal.json", "kubeconfig", "restoring"),
    *("differences.json", "sandbox/published", "sandbox/published.log"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a backup is of. `taken` is UTC, "2026-11-24 11:17:17"; `revision` and `keys` are
    etcd's."""

    cluster: str
    platform: Platform
    taken: str
    kubernetes: str
    revision: int
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup: its description, etcd's snapshot, and the files of the state directory by their
    names there."""

    description: Description
    snapshot: bytes
    state: Mapping[str, bytes]


def state_files(state: Path) -> dict[str, bytes]:
    """What of a state directory belongs into a backup: secrets and how the cluster was asked for,
    not what runs leave behind."""
    return {
        str(path.relative_to(state)): path.read_bytes()
        for path in sorted(state.rglob("*"))
        if path.is_file()
        and not _LEFT_OUT & {path.relative_to(state).parts[0], str(path.relative_to(state))}
    }


def write(backup: Backup, path: Path) -> None:
    """Writes a backup, readable by its owner only, and reads it back.

    Raises:
        OSError: it cannot be written there, or is there already.
        InstallerError: what was written is not what was meant: the disk is not sound.
    """
    members = {SNAPSHOT: backup.snapshot, **{STATE + k: v for k, v in backup.state.items()}}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    first = {"format": FORMAT, **asdict(backup.description), "sha256": sums}
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz") as tar:
                for name, content in {_FIRST: json.dumps(first).encode(), **members}.items():
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = len(content), 0o600
                    tar.addfile(member, io.BytesIO(content))
            file.flush()
            os.fsync(file.fileno())
        if read(new) != backup:
            raise InstallerError(
                f"{path}: reads back otherwise than it was written", "use another disk"
            )
        os.link(new, path)
    finally:
        new.unlink(missing_ok=True)


def put(content: bytes, path: Path) -> None:
    """Keeps a backup that was written elsewhere, readable by its owner only, once it is verified.

    Raises:
        OSError: it cannot be written there, or is there already.
        InstallerError: it is no backup, or is damaged.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        read(new)
        os.link(new, path)
    finally:
        new.unlink(missing_ok=True)


def read(path: Path) -> Backup:
    """Reads and verifies a backup.

    Raises:
        InstallerError: it cannot be read, is no backup, or is damaged; says where.
    """
    try:
        # tarfile alone would not read as far as gzip's own sum, which covers the description.
        plain = gzip.decompress(path.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            members = {}
            for member in tar:
                stream = tar.extractfile(member)
                members[member.name] = stream.read() if stream else b""
    except FileNotFoundError as error:
        raise InstallerError(f"{path}: there is no such file", "name a backup") from error
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise InstallerError(f"{path}: is no backup, or is damaged: {error}", _OTHERS) from error
    try:
        first = json.loads(members.pop(_FIRST))
        sums = first.pop("sha256")
        if first.pop("format") != FORMAT:
            raise InstallerError(f"{path}: was made by a newer romana-install", "use that one")
        description = Description(**first)
    except (KeyError, ValueError, TypeError) as error:
        raise InstallerError(f"{path}: is no backup of romana-install", _OTHERS) from error
    _verify(path, members, sums)
    if description.platform not in get_args(Platform):
        raise InstallerError(f"{path}: is of no platform that is known here", _OTHERS)
    snapshot = members.pop(SNAPSHOT)
    state = {name.removeprefix(STATE): content for name, content in members.items()}
    return Backup(description=description, snapshot=snapshot, state=state)


def _verify(path: Path, members: Mapping[str, bytes], sums: Mapping[str, str]) -> None:
    for name in sorted({*members, *sums, SNAPSHOT}):
        content = members.get(name)
        if content is None or name not in sums:
            raise InstallerError(f"{path}: is damaged: {name} is missing", _OTHERS)
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise InstallerError(f"{path}: is damaged: {name} is not what its sum says", _OTHERS)
        if name != SNAPSHOT and (not name.startswith(STATE) or ".." in PurePosixPath(name).parts):
            raise InstallerError(f"{path}: holds {name}, which no backup does", _OTHERS)


def lay_down(backup: Backup, state: Path) -> None:
    """Puts the state directory's files where they were; the main authority's key, which says that
    the directory is complete, goes last."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in sorted(backup.state, key=lambda name: (name == "pki/ca.key", name)):
        target = state / name
        for parent in reversed(target.relative_to(state).parents):
            (state / parent).mkdir(mode=0o700, exist_ok=True)
        part = target.with_name(target.name + ".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(backup.state[name])
        part.replace(target)
