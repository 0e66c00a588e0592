"""A bundle, verified from its first byte to its last and laid into the cache: only then is
anything of it used."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from installer.artifacts.catalogue import cache_directory
from installer.artifacts.checksums import require
from installer.artifacts.fetch import alone
from installer.bundle import layout
from installer.bundle.contents import MANIFEST, Manifest, Member, decode
from installer.bundle.signature import Trust, judge
from installer.errors import ArtifactError
from installer.events import Emit, Notice, Progress
from romana.version import VERSION

_TELL_EVERY_S = 0.2
_CHUNK = 1 << 20
_KEPT = 3
"""How many unpacked bundles the cache holds: each is about 700 MB."""


def open_bundle(
    path: Path,
    trust: Trust,
    emit: Emit,
    cache: Path | None = None,
    accept: Callable[[Manifest], object] = lambda manifest: None,
) -> Path:
    """The directory that a bundle's members lie in, each verified.

    The signature is judged first, then every byte of the file is compared with what the manifest
    says, whether or not the bundle was unpacked before.

    Args:
        path: of the bundle.
        trust: whose signature counts.
        emit: receives progress, and who signed.
        cache: where bundles are unpacked; `bundles` in the user's cache where it is left out.
        accept: called with what a trusted signer says is in it, before anything else is read;
            raises where that will not do.

    Raises:
        ArtifactError: it is not to be trusted, not whole, or another installer's.
        OSError: it cannot be read, or there is no room to unpack it.
    """
    head = layout.read_head(path)
    signer = judge(head.text, head.signature, trust, str(path))
    _require_own(path, head.manifest)
    accept(head.manifest)
    cache = cache or cache_directory().parent / "bundles"
    target = cache / hashlib.sha256(head.text).hexdigest()[:20]
    advance = told(f"verify {path.name}", emit)
    with alone(cache):
        if _whole(target, head.manifest):
            layout.verify(path, head, _nowhere, advance)
        else:
            _unpack(path, head, target, advance)
            _forget_old(cache)
    emit(Notice(text=f"bundle {path.name}: {_by(signer)}; Kubernetes {head.manifest.kubernetes}"))
    return target


def check(path: Path, trust: Trust, emit: Emit) -> tuple[Manifest, str]:
    """What is in a bundle and who signed it, everything verified and nothing kept.

    Raises:
        ArtifactError, OSError: as for `open_bundle`.
    """
    head = layout.read_head(path)
    signer = judge(head.text, head.signature, trust, str(path))
    layout.verify(path, head, _nowhere, told(f"verify {path.name}", emit))
    return head.manifest, signer


def contents(directory: Path) -> Manifest:
    """The manifest of an unpacked bundle."""
    return decode((directory / MANIFEST).read_bytes(), str(directory))


def _require_own(path: Path, manifest: Manifest) -> None:
    if manifest.romana != VERSION:
        raise ArtifactError(
            f"{path}: was made by romana-install {manifest.romana}, and this is {VERSION}",
            "use the romana-install that is in the bundle (installer/ and wheels/), or make a "
            "bundle with this one",
        )


def _unpack(path: Path, head: layout.Head, target: Path, advance: layout.Advance) -> None:
    """Into a directory beside its place, moved there once all of it is known to be sound."""
    part = target.with_name(f".{target.name}.part")
    for old in (*target.parent.glob(".*.part"), target):
        if old.exists():
            shutil.rmtree(old)
    part.mkdir(parents=True, mode=0o700)

    def sink(member: Member) -> BinaryIO:
        file = part / member.name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("wb")

    try:
        layout.verify(path, head, sink, advance)
        for member in head.manifest.members:
            if member.plain_sha256:
                _expand(path, part / member.name, member)
        (part / MANIFEST).write_bytes(head.text)
        part.replace(target)
    except BaseException:
        shutil.rmtree(part)
        raise


def _forget_old(cache: Path) -> None:
    found = sorted(cache.glob(f"*/{MANIFEST}"), key=lambda file: file.stat().st_mtime)
    for file in found[:-_KEPT]:
        shutil.rmtree(file.parent)


def plain(file: Path) -> Path:
    """Where the uncompressed copy of a compressed member lies."""
    return file.with_suffix("")


def _expand(path: Path, file: Path, member: Member) -> None:
    wrong = ArtifactError(
        f"{path}: {member.name} does not hold what its maker said", "have it made again"
    )
    digest = hashlib.sha256()
    with gzip.open(file) as packed, plain(file).open("wb") as out:
        try:
            while piece := packed.read(_CHUNK):
                digest.update(piece)
                out.write(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise wrong from None
    if digest.hexdigest() != member.plain_sha256:
        raise wrong
    plain(file).chmod(0o755)


def _whole(directory: Path, manifest: Manifest) -> bool:
    """Whether a bundle was unpacked here, and is still what it was."""
    if not (directory / MANIFEST).exists():
        return False
    try:
        for member in manifest.members:
            file = directory / member.name
            require(file, member.sha256, MANIFEST)
            if member.plain_sha256:
                require(plain(file), member.plain_sha256, MANIFEST)
    except (ArtifactError, FileNotFoundError):
        return False
    return True


def _nowhere(member: Member) -> BinaryIO:
    return Path(os.devnull).open("wb")


def _by(signer: str) -> str:
    return f"signed by {signer}" if signer else "signed by nobody"


def told(what: str, emit: Emit) -> layout.Advance:
    """Turns bytes into progress events, a few a second."""
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _TELL_EVERY_S or done == total:
            last = now
            emit(Progress(what=what, done=done, total=total, unit="B"))

    return advance
