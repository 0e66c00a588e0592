"""The Romana release that hosts get: the `romana` package, its locked dependencies and start
scripts, as one archive.

Unpacked at /opt/romana/releases/VERSION:

    lib/                     the package and everything it imports, nothing from the host's own
    Python packages bin/romana               the command
    bin/romana-agent         the daemon
    bin/romana-cni           the plugin

VERSION ends in a digest of the content, so that a changed tree is another release and a switch of
one link takes it into use. The same tree gives the same archive, byte for byte.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import uv

import romana
from installer.artifacts.catalogue import Resolved
from installer.artifacts.checksums import sha256_of, write_atomically
from installer.errors import ArtifactError
from installer.events import Emit, Progress
from romana.version import VERSION

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "agent.txt"
BROUGHT_PYTHON = "/opt/romana/python"
"""Where hosts without a fit Python have a relocatable one."""
PROGRAMS = {
    "romana": "romana.cli",
    "romana-agent": "romana.agent.daemon",
    "romana-cni": "romana.cni.plugin",
}
"""Start scripts and the modules whose `main` they call."""
_PLATFORMS = {"amd64": "x86_64-manylinux_2_17", "arm64": "aarch64-manylinux_2_17"}
"""manylinux2014: the oldest C library among hosts is 2.19, and such wheels run with every later
one."""
_FORMAT = "2"
"""Changes when the archive's layout does."""
_LEFT_OUT = frozenset(
    ("__pycache__", ".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
)
_KEPT = 8
_EPOCH = 315532800  # 1980: older times are beyond some archive formats


def build_release(
    python: str, architecture: str, cache: Path, emit: Emit, source: Path | None = None
) -> Resolved:
    """The release for hosts with a certain Python, built where the cache has none of this content.

    Args:
        python: the hosts' version, "3.11".
        architecture: as Kubernetes spells it: "amd64", "arm64".
        cache: the artifacts' directory.
        emit: receives progress.
        source: the `romana` package's directory; the imported one's where it is left out.

    Raises:
        ArtifactError: the dependencies cannot be had.
    """
    package = source or Path(romana.__file__).parent
    version = f"{VERSION}-py{python.replace('.', '')}-{_digest(package, python, architecture)[:10]}"
    archive = cache / "romana" / f"{version}.tar.gz"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with (archive.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            libraries = _dependencies(python, architecture, archive.parent, emit)
            write_atomically(archive, _archive(package, libraries, python))
            _forget_old(archive.parent)
    return Resolved(name="romana", version=version, path=archive, sha256=sha256_of(archive))


def release_for(wanted: str, python: str, architecture: str, cache: Path, emit: Emit) -> Resolved:
    """The release that an inventory asks for: this tree's, or one that is kept from earlier.

    Args:
        wanted: "auto", a release's whole name, or its version alone: the latest of that version.
        python: the hosts' version, "3.11".
        architecture: as Kubernetes spells it.
        cache: the artifacts' directory.
        emit: receives progress.

    Raises:
        ArtifactError: none of that name is kept; names those that are.
    """
    if wanted == "auto":
        return build_release(python, architecture, cache, emit)
    kept = sorted(
        (cache / "romana").glob(f"*-py{python.replace('.', '')}-*.tar.gz"),
        key=lambda path: path.stat().st_mtime,
    )
    names = {path.name.removesuffix(".tar.gz"): path for path in kept}
    for name in reversed(names):
        if wanted in (name, name.partition("-py")[0]):
            path = names[name]
            return Resolved(name="romana", version=name, path=path, sha256=sha256_of(path))
    raise ArtifactError(
        f"Romana {wanted} for Python {python} is not kept on this machine",
        f"there is {', '.join(names)}" if names else "use romana: auto",
    )


def _forget_old(folder: Path) -> None:
    """Each change of the tree makes another archive; the latest few are kept for those who run
    now."""
    archives = sorted(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    for path in archives[:-_KEPT]:
        path.unlink(missing_ok=True)


def _digest(package: Path, python: str, architecture: str) -> str:
    digest = hashlib.sha256(
        f"{_FORMAT} {python} {architecture} {sorted(PROGRAMS.items())}".encode()
    )
    digest.update(REQUIREMENTS.read_bytes())
    for path in _files(package):
        digest.update(f"{path.relative_to(package)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _dependencies(python: str, architecture: str, folder: Path, emit: Emit) -> Path:
    """The directory of installed dependencies; kept by the digest of what was asked for."""
    platform = _PLATFORMS[architecture]
    asked = hashlib.sha256(platform.encode() + REQUIREMENTS.read_bytes()).hexdigest()[:10]
    target = folder / f"dependencies-py{python}-{architecture}-{asked}"
    if target.exists():
        return target
    what = f"fetch the agent's dependencies for Python {python}"
    emit(Progress(what=what, done=0))
    part = target.with_name(target.name + ".part")
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config"]
    command += ["--python", sys.executable, "--target", str(part), "--require-hashes"]
    command += ["--python-version", python, "--python-platform", platform]
    command += ["--only-binary", ":all:", "--link-mode", "copy", "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1].strip()
        raise ArtifactError(
            f"the agent's dependencies for Python {python} cannot be had: {last}",
            "they come from the Python package index; check the way there and run again",
        )
    part.replace(target)
    emit(Progress(what=what, done=1, total=1))
    return target


def _archive(package: Path, libraries: Path, python: str) -> bytes:
    raw = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content, mode in sorted(_members(package, libraries, python)):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), mode, _EPOCH
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def _members(package: Path, libraries: Path, python: str) -> Iterator[tuple[str, bytes, int]]:
    for path in _files(package):
        yield f"lib/romana/{path.relative_to(package)}", path.read_bytes(), 0o644
    for path in _files(libraries):
        name = path.relative_to(libraries)
        # The dependencies' own commands name an interpreter of this machine.
        if name.parts[0] != "bin":
            yield f"lib/{name}", path.read_bytes(), 0o644
    for program, module in PROGRAMS.items():
        yield f"bin/{program}", start_script(module, python).encode(), 0o755


def start_script(module: str, python: str) -> str:
    """A start script that is sh and Python at once: sh finds the interpreter, one that was brought
    along before the host's own, and Python starts isolated from the host's packages, its
    environment and the site module, which also makes it quick.

    Args:
        module: whose `main` is called.
        python: the interpreter's version.
    """
    return f"""#!/bin/sh
''''export PATH="{BROUGHT_PYTHON}/bin:$PATH"; exec python{python} -IS "$0" "$@" # '''
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))),
"lib"))

from {module} import main

sys.exit(main())
"""


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and _LEFT_OUT.isdisjoint(path.relative_to(directory).parts):
            yield path
