"""Where hosts keep their files: a directory of this machine that can carry an overlay."""

from __future__ import annotations

from pathlib import Path

from installer.platforms.sandbox.command import output

_WHAT = "prepare the hosts' directory"


def ensure_storage(directory: Path) -> None:
    """Make the directory; on an overlay (in a container), a memory file system is mounted there,
    since an overlay's upper layer cannot be on another overlay.

    Raises:
        PlatformError: it cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = ("findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(directory))
    if output(words, what=_WHAT).strip() == "overlay":
        output(("mount", "-t", "tmpfs", "-o", "mode=0700", "romana", str(directory)), what=_WHAT)
