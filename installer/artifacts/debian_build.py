"""Kubernetes built from Debian's source package, for when the vendor's site cannot be reached."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from pathlib import Path

from installer.errors import ArtifactError
from installer.events import Emit, Progress

BUILDABLE = "v1.20.2"
"""What the source package of Debian 12 holds."""
SCRIPT = Path(__file__).with_name("kubernetes-from-debian.sh")
_STEP = re.compile(r"^step (\d+)/(\d+) (.*)$")


def build(version: str, out: Path, work: Path, emit: Emit) -> None:
    """Build the binaries and their SHA256SUMS into a directory. Ten minutes on two cores the first
    time; an interrupted build goes on where it was.

    Args:
        version: what the binaries say they are.
        out: receives them.
        work: scratch directory, kept; its `build.log` holds everything the tools said.
        emit: receives progress.

    Raises:
        ArtifactError: this machine cannot build, or the build failed.
    """
    _require_able(version)
    work.mkdir(parents=True, exist_ok=True)
    log = work / "build.log"
    last: deque[str] = deque(maxlen=8)
    what = f"build Kubernetes {version}"
    with (
        log.open("w") as record,
        subprocess.Popen(
            ["sh", str(SCRIPT), version, str(work), str(out)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            record.write(line)
            last.append(line.strip())
            if found := _STEP.match(line):
                done, total = int(found[1]) - 1, int(found[2])
                emit(Progress(what=what, done=done, total=total, unit=f"steps: {found[3]}"))
    if process.returncode != 0:
        raise ArtifactError(
            f"building Kubernetes {version} failed: {last[-1] if last else 'no output'}",
            f"the whole output is in {log}; run again to go on from there",
        )
    emit(Progress(what=what, done=1, total=1, unit="steps"))


def _require_able(version: str) -> None:
    if version != BUILDABLE:
        raise ArtifactError(
            f"Kubernetes {version} can only be downloaded: Debian's source has {BUILDABLE}",
            f"make download_url reachable, or use kubernetes: {BUILDABLE}",
        )
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ArtifactError(
            f"Kubernetes {version} cannot be built here: that needs root on Debian 12",
            "make download_url reachable, or run as root on Debian 12",
        )
