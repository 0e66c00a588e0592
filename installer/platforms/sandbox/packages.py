"""A local apt repository with what roles install, so that installing is real without a way out.

apt itself works out what has to be fetched on top of the image: it is asked with the image's own
dpkg status. Every host sees the directory read-only at `MOUNT`; the image has the apt source.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from installer.errors import PlatformError
from installer.events import Emit, Notice, Progress
from installer.platforms.sandbox.cache import alone, images_directory, unfinished
from installer.platforms.sandbox.command import follow, output

MOUNT = "/var/cache/romana/packages"
_WHAT = "fetch packages for the hosts"


def packages_path(image: Path, names: tuple[str, ...]) -> Path:
    """Where the repository for this image and these packages is, made or not."""
    digest = hashlib.sha256(repr((image.name, sorted(set(names)))).encode()).hexdigest()
    return images_directory() / f"packages-{digest[:12]}"


def no_packages() -> Path:
    """An empty directory, for hosts that are brought their packages like any server."""
    path = images_directory() / "no-packages"
    path.mkdir(parents=True, exist_ok=True)
    return path


def ensure_packages(image: Path, names: tuple[str, ...], emit: Emit) -> Path:
    """The repository, made if it is not in the cache.

    Args:
        image: the base root file system; what it holds already is not fetched.
        names: packages of the distribution; their dependencies come along.
        emit: receives progress.

    Raises:
        PlatformError: apt cannot fetch them.
    """
    repository = packages_path(image, names)
    if repository.exists():
        return repository
    with alone(repository.parent, emit) as lock:
        if not repository.exists():
            with unfinished(repository) as work:
                _fetch(image, names, work, lock, emit)
                _index(work)
    return repository


def _fetch(image: Path, names: tuple[str, ...], work: Path, lock: int, emit: Emit) -> None:
    words = apt_words(image, names, work)
    (work / "partial").mkdir()
    try:
        output((*words, "--simulate"), what=_WHAT)
    except PlatformError:
        emit(Notice(text="the package lists of this machine are stale: apt-get update"))
        output(("apt-get", "-q", "update"), what="refresh the package lists")
    count = 0

    def hear(line: str) -> None:
        nonlocal count
        if line.startswith("Get:"):
            count += 1
            emit(Progress(what=_WHAT, done=count, unit="packages"))

    emit(Progress(what=_WHAT, done=0, unit="packages"))
    follow((*words, "--download-only"), work.parent / "packages.log", hear, what=_WHAT, lock=lock)
    emit(Progress(what=_WHAT, done=count, total=count, unit="packages"))


def apt_words(image: Path, names: tuple[str, ...], archives: Path) -> tuple[str, ...]:
    """apt-get on this machine's lists, but as if the image were what is installed."""
    options = {
        "Dir::State::status": str(image / "var/lib/dpkg/status"),
        "Dir::State::extended_states": str(image / "var/lib/apt/extended_states"),
        "Dir::Cache::archives": str(archives),
        # The cache files would be those of this machine's own status.
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
    }
    flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ("apt-get", "-q", "-y", "--no-install-recommends", *flags, "install", *names)


def _index(work: Path) -> None:
    """Write Packages, and Release, without which apt tries every compression there is."""
    (work / "partial").rmdir()
    (work / "lock").unlink(missing_ok=True)
    for kind, name in (("packages", "Packages"), ("release", "Release")):
        done = subprocess.run(
            ("apt-ftparchive", kind, "."), cwd=work, capture_output=True, check=False
        )
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip()
            raise PlatformError(f"{_WHAT}: apt-ftparchive {kind} failed: {last}")
        (work / name).write_bytes(done.stdout)
