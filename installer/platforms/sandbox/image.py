"""The base root file system of all hosts: made by debootstrap once per release and content, kept.

It is complete for SSH, systemd and the facts that the engine reads; what Kubernetes needs is not in
it, since roles install that. Hosts see it read-only, below their overlay.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from installer.events import Emit, Progress
from installer.platforms.sandbox.cache import alone, images_directory, unfinished
from installer.platforms.sandbox.command import follow
from installer.platforms.sandbox.content import FILES, LINKS, PACKAGES, REMOVED
from installer.platforms.sandbox.distribution import Distribution

_WHAT = "make the base root file system"


def image_path(distribution: Distribution) -> Path:
    """Where the root file system for this release and content is, made or not."""
    digest = hashlib.sha256(
        repr(
            (distribution.label, distribution.components, PACKAGES, FILES, LINKS, REMOVED)
        ).encode()
    )
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
                _arrange(work)
    return image


def _bootstrap(distribution: Distribution, root: Path, lock: int, emit: Emit) -> None:
    """Debootstrap in a mount namespace of its own, so that its /proc goes with it."""
    # Durability of a half-made image is worth nothing, and dpkg's fsync costs half of the time.
    _write(root, "etc/dpkg/dpkg.cfg.d/romana", "force-unsafe-io\n")
    progress = _Progress(emit, f"{_WHAT} ({distribution.label})")
    words = (
        "unshare", "--mount", "--propagation", "private", "--",
        "debootstrap", "--variant=minbase", f"--arch={distribution.architecture}",
        f"--components={','.join(distribution.components)}", f"--include={','.join(PACKAGES)}",
        distribution.codename, str(root), distribution.mirror,
    )  # fmt: skip
    follow(words, root.parent / "debootstrap.log", progress.hear, what=_WHAT, lock=lock)
    progress.end()


def _arrange(root: Path) -> None:
    for pattern in REMOVED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name, text in FILES:
        _write(root, name, text)
    for name, target in LINKS:
        link = root / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o644)


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
