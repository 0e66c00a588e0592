"""The installer itself, for a machine without a network: its tree in an archive, and the wheels
that it needs, each of the hash that requirements/installer.txt demands."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from installer.artifacts.fetch import alone
from installer.errors import ArtifactError
from installer.events import Emit, Progress
from romana.version import VERSION

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements" / "installer.txt"
PARTS = (
    *(
        "pyproject.toml",
        "Makefile",
        "README.md",
        "docs",
        "installer",
        "inventories",
        "requirements",
    ),
    *("romana", "templates", "vagrant"),
)
"""What of the tree the installer needs to be installed and used."""
_LEFT_OUT = ("__pycache__", ".vagrant")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""What the wheels are for: the Python that makes the bundle."""


def wheels(cache: Path, emit: Emit) -> tuple[Path, ...]:
    """The wheels of everything that the installer imports, in order of their names.

    Raises:
        ArtifactError: they cannot be had.
    """
    asked = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:10]
    place = cache / "wheels" / f"py{PYTHON}-{asked}"
    with alone(place.parent):
        if not place.exists():
            what = f"fetch the installer's wheels for Python {PYTHON}"
            emit(Progress(what=what, done=0))
            part = place.with_name(f"{place.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            _download(part)
            part.replace(place)
            emit(Progress(what=what, done=1, total=1))
    return tuple(sorted(place.glob("*.whl")))


def _download(place: Path) -> None:
    words = (
        "--quiet", "--disable-pip-version-check", "download", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--dest", str(place), "-r", str(REQUIREMENTS),
    )  # fmt: skip
    done = subprocess.run(
        (sys.executable, "-m", "pip", *words),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise ArtifactError(
            f"the installer's wheels cannot be had: {said[-1]}",
            "they come from the Python package index; check the way there and run again",
        )


def tree(cache: Path) -> Path:
    """The installer's tree as a .tar.gz of which every byte depends on the files alone."""
    target = cache / f"romana-{VERSION}.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with (
        part.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _files():
            member = tarfile.TarInfo(f"romana/{path.relative_to(ROOT)}")
            member.size = path.stat().st_size
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as stream:
                tar.addfile(member, stream)
    part.replace(target)
    return target


def _files() -> Iterator[Path]:
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*")) if (ROOT / part).is_dir() else [ROOT / part]:
            if path.is_file() and not _left_out(path.relative_to(ROOT).parts):
                yield path


def _left_out(parts: tuple[str, ...]) -> bool:
    return any(each in _LEFT_OUT or each.endswith(".egg-info") for each in parts)
