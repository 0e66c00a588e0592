"""The box that LXC machines are made of: the sandbox's root file system, with the user, the key and
the sudo that Vagrant expects. Made once for each root file system and content, and kept.

A box of vagrant-lxc is a tar of `metadata.json`, `lxc-config` and `rootfs.tar.gz`, whose members
begin with `./rootfs/`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from installer.events import Emit, Progress
from installer.platforms.sandbox import preconditions
from installer.platforms.sandbox.cache import alone, images_directory, unfinished
from installer.platforms.sandbox.command import output
from installer.platforms.sandbox.distribution import read_distribution
from installer.platforms.sandbox.identity import Seed
from installer.platforms.sandbox.image import ensure_image
from installer.platforms.vagrant.content import (
    HOME,
    LINKS,
    LXC_CONFIG,
    METADATA,
    USER_ID,
    seeds,
)

_WHAT = "make the LXC box"
_ACCOUNTS = ("passwd", "group", "shadow")


def newest_box() -> Path:
    """The link that the Vagrantfile follows to the directory of the box that was made last."""
    return images_directory() / "lxc-box"


def ensure_box(emit: Emit) -> Path:
    """The box, made if it is not in the cache; `newest_box` leads to its directory.

    Raises:
        PlatformError: this machine cannot make a root file system (it takes root), or tar failed.
    """
    if not newest_box().exists():
        preconditions.require(emit)
    image = ensure_image(read_distribution(), emit)
    directory = image.with_name(f"lxc-{image.name}-{_digest(image)}")
    with alone(image.parent, emit):
        if not directory.exists():
            emit(Progress(what=_WHAT, done=0))
            with unfinished(directory) as work:
                _make(image, work)
            emit(Progress(what=_WHAT, done=1, total=1))
        link = newest_box().with_name(".lxc-box.new")
        link.unlink(missing_ok=True)
        link.symlink_to(directory.name)
        link.rename(newest_box())
    return directory / "romana.box"


def _seeds(image: Path) -> tuple[Seed, ...]:
    return seeds(*((image / "etc" / name).read_text() for name in _ACCOUNTS))


def _digest(image: Path) -> str:
    content = (_seeds(image), LINKS, LXC_CONFIG, METADATA)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def _make(image: Path, directory: Path) -> None:
    """Leave the box, and nothing else, in an empty directory."""
    parts, tar = directory / "parts", directory / "parts/rootfs.tar"
    _write(_seeds(image), parts / "added")
    whole = ("tar", "--numeric-owner", "--transform", r"s,^\.,./rootfs,S", "--file", str(tar))
    output((*whole, "--create", "--directory", str(image), "."), what=_WHAT)
    # Of members with one name, the last is what extraction leaves.
    output((*whole, "--append", "--directory", str(parts / "added"), "."), what=_WHAT)
    output(("gzip", "-1", str(tar)), what=_WHAT)
    (parts / "metadata.json").write_text(METADATA)
    (parts / "lxc-config").write_text(LXC_CONFIG)
    names = ("metadata.json", "lxc-config", "rootfs.tar.gz")
    box = ("tar", "--create", "--file", str(directory / "romana.box"))
    output((*box, "--directory", str(parts), *names), what=_WHAT)
    shutil.rmtree(parts)


def _write(files: tuple[Seed, ...], root: Path) -> None:
    root.mkdir(parents=True)
    for seed in files:
        path = root / seed.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(seed.text)
        path.chmod(seed.mode)
    for name, target in LINKS:
        link = root / name.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    home = root / HOME.lstrip("/")
    (home / ".ssh").chmod(0o700)
    for owned in (home, *home.rglob("*")):
        os.chown(owned, USER_ID, USER_ID)
