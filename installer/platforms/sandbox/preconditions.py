"""What this machine needs to carry hosts: checked first, all at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from installer.errors import PlatformError
from installer.events import Emit, Notice
from installer.platforms.sandbox.command import output

TOOLS = {
    "apt-ftparchive": "apt-utils",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
"""Programs, and the Debian package that has them."""


INOTIFY_INSTANCES = 1024
"""Each systemd, containerd, kubelet and agent takes some, all out of this kernel's one limit per
user, which is 128 by default: two clusters exhaust it."""
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What is missing. `packages` can be installed; `faults` are for the operator, a line each."""

    packages: tuple[str, ...]
    faults: tuple[str, ...]


def lacking() -> Lack:
    """What this machine lacks, as it is now."""
    missing = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    faults = []
    if os.geteuid() != 0:
        faults.append("it needs root (namespaces, mounts): run it with sudo")
    if "overlay" not in _filesystems():
        faults.append("the kernel has no overlayfs: load the module `overlay`")
    return Lack(packages=tuple(sorted(missing)), faults=tuple(faults))


def require_able() -> Lack:
    """What can be installed, where nothing else is missing.

    Raises:
        PlatformError: something is missing that cannot be installed; all of it is named.
    """
    lack = lacking()
    if lack.faults:
        raise PlatformError(f"the sandbox cannot run here: {'; '.join(lack.faults)}")
    return lack


def require(emit: Emit) -> None:
    """Install the tools that are missing.

    Raises:
        PlatformError: something is missing that cannot be installed, or apt-get failed.
    """
    lack = require_able()
    if lack.packages:
        _install(lack.packages, emit)
    if int(_INOTIFY.read_text()) < INOTIFY_INSTANCES:
        emit(Notice(text=f"fs.inotify.max_user_instances = {INOTIFY_INSTANCES}, until reboot"))
        _INOTIFY.write_text(str(INOTIFY_INSTANCES))


def _install(packages: tuple[str, ...], emit: Emit) -> None:
    emit(Notice(text=f"installing on this machine: {' '.join(packages)}"))
    what = "install what the sandbox needs"
    output(("apt-get", "-q", "update"), what=what)
    words = ("apt-get", "-q", "-y", "--no-install-recommends", "install", *packages)
    output(("env", "DEBIAN_FRONTEND=noninteractive", *words), what=what)


def _filesystems() -> set[str]:
    """Those the kernel knows, after a try to load overlay where it is a module."""
    known = Path("/proc/filesystems")
    if "\toverlay\n" not in known.read_text() and shutil.which("modprobe"):
        subprocess.run(("modprobe", "overlay"), capture_output=True, check=False)
    return {line.split("\t")[-1] for line in known.read_text().splitlines()}
