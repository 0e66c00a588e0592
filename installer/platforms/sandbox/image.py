"""The base root file system of all hosts: made by debootstrap once per release and content, kept.

It is complete for SSH, systemd and the facts that the engine reads; what Kubernetes needs is not
in it, since roles install that. Hosts see it read-only, below their overlay; what the sandbox sets
on top is written into each host's own layer (`content`).
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from installer.events import Emit, Progress
from installer.platforms.sandbox.cache import alone, images_directory, unfinished
from installer.platforms.sandbox.command import follow, output
from installer.platforms.sandbox.content import PACKAGES, REMOVED
from installer.platforms.sandbox.distribution import Distribution, find_archive

_WHAT = "make the base root file system"
_PACK = "pack the base root file system"
_UNPACK = "unpack the base root file system"
_ATTRIBUTES = ("--xattrs", "--xattrs-include=security.*")


def image_path(distribution: Distribution) -> Path:
    """Where the root file system for this release and content is, made or not."""
    content = (distribution.label, PACKAGES, REMOVED)
    digest = hashlib.sha256(repr(content).encode())
    return images_directory() / f"{distribution.label}-{digest.hexdigest()[:12]}"


def ensure_image(distribution: Distribution, emit: Emit) -> Path:
    """The root file system, made if it is not in the cache (about a minute).

    Raises:
        PlatformError: debootstrap failed; its log is named.
    """
    image = image_path(distribution)
    if image.exists():
        return image
    with alone(image.parent, emit) as lock:
        if not image.exists():
            with unfinished(image) as work:
                _bootstrap(distribution, work, lock, emit)
                _clear(work)
    return image


def packed_image(distribution: Distribution, emit: Emit) -> Path:
    """The root file system as a .tar.gz, to be carried to a machine that has no archive in reach:
    `unpack_image` is the counterpart. Made once per image.

    Raises:
        PlatformError: it cannot be made.
    """
    image = ensure_image(distribution, emit)
    target = image.with_name(f"{image.name}.tar.gz")
    if not target.exists():
        part = target.with_name(f".{target.name}.part")
        emit(Progress(what=_PACK, done=0))
        # Capabilities of files are extended attributes; times of access would differ each time.
        words = (
            "tar", "--create", "--sort=name", "--numeric-owner", "--format=posix", *_ATTRIBUTES,
            "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f",
            "--use-compress-program=gzip -2 -n", "--file", str(part), "--directory", str(image),
            ".",
        )  # fmt: skip
        output(words, what=_PACK)
        part.rename(target)
        emit(Progress(what=_PACK, done=1, total=1))
    return target


def unpack_image(packed: Path, distribution: Distribution, emit: Emit) -> Path:
    """The root file system out of `packed_image`'s archive, if it is not in the cache.

    Raises:
        PlatformError: it cannot be unpacked.
    """
    image = image_path(distribution)
    with alone(image.parent, emit):
        if not image.exists():
            emit(Progress(what=_UNPACK, done=0))
            with unfinished(image) as work:
                words = (
                    "tar", "--extract", "--preserve-permissions", "--numeric-owner", *_ATTRIBUTES,
                    "--file", str(packed), "--directory", str(work),
                )  # fmt: skip
                output(words, what=_UNPACK)
            emit(Progress(what=_UNPACK, done=1, total=1))
    return image


def _bootstrap(distribution: Distribution, root: Path, lock: int, emit: Emit) -> None:
    """Debootstrap in a mount namespace of its own, so that its /proc goes with it."""
    archive = find_archive(distribution)
    # Durability of a half-made image is worth nothing, and dpkg's fsync costs half of the time.
    settings = root / "etc/dpkg/dpkg.cfg.d/romana"
    settings.parent.mkdir(parents=True)
    settings.write_text("force-unsafe-io\n")
    progress = _Progress(emit, f"{_WHAT} ({distribution.label})")
    words = (
        "unshare", "--mount", "--propagation", "private", "--",
        "debootstrap", "--variant=minbase", f"--arch={distribution.architecture}",
        f"--components={','.join(archive.components)}", f"--include={','.join(PACKAGES)}",
        distribution.codename, str(root), archive.mirror,
    )  # fmt: skip
    follow(words, root.parent / "debootstrap.log", progress.hear, what=_WHAT, lock=lock)
    progress.end()


def _clear(root: Path) -> None:
    for pattern in REMOVED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


class _Progress:
    """Debootstrap's lines as events: each package is retrieved, unpacked and configured."""

    def __init__(self, emit: Emit, what: str) -> None:
        self._emit, self._what, self._done = emit, what, 0
        emit(Progress(what=what, done=0, unit="steps"))

    def hear(self, line: str) -> None:
        if line.startswith(("I: Retrieving", "I: Unpacking", "I: Configuring")):
            self._done += 1
            self._emit(Progress(what=self._what, done=self._done, unit="steps"))

    def end(self) -> None:
        self._emit(Progress(what=self._what, done=self._done, total=self._done, unit="steps"))
