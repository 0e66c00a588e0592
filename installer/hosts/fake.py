"""A host that is a directory: scripts run for real, under the local sh, with absolute paths moved
below the directory.

For tests of everything above a session. Paths below /etc, /opt, /run, /srv, /usr, /var and /lib in
scripts are rewritten; files that scripts carry are not. Programs in the directory `bin` come first
on PATH: a test puts its init system and package tools there.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from installer.errors import CommandFailed, Unreachable
from installer.hosts.session import Line, Output, Sent
from installer.resources.base import Payload

_PATHS = re.compile(
    r"(?<![\w/.$}*-])/(etc|opt|run|srv|usr/sbin|usr/local|usr/libexec|var|lib/modules|proc/sys)(?=/)"
)


Cut = Callable[[str], str | None]
"""Told a script that is about to run: the part of it that still runs before the connection is
lost, or None for all."""


class FakeHost:
    """A session on a directory.

    Args:
        host: its name.
        root: the directory.
    """

    def __init__(self, host: str, root: Path) -> None:
        self._host = host
        self.root = root
        self.scripts: list[str] = []
        self.reachable = True
        self.cut: Cut | None = None
        for name in ("bin", "etc", "run", "usr/sbin", "var/lib", "var/tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def host(self) -> str:
        """The host's name."""
        return self._host

    @property
    def round_trips(self) -> int:
        """Scripts run so far, and the connection."""
        return 1 + len(self.scripts)

    def path(self, path: str) -> Path:
        """Where an absolute path of the host is on this machine."""
        return self.root / path.lstrip("/")

    def run(
        self,
        script: str,
        *,
        timeout_s: float = 60,
        files: Sequence[Payload] = (),
        on_line: Line | None = None,
        on_sent: Sent | None = None,
    ) -> Output:
        """See Session."""
        if not self.reachable:
            raise Unreachable(self.host, f"{self.host}: the connection was lost")
        self.scripts.append(script)
        rest = self.cut(script) if self.cut is not None else None
        with tempfile.TemporaryDirectory(dir=self.root / "var/tmp") as directory:
            for file in files:
                place = Path(directory, file.name)
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(_bytes(file))
            output = self._execute(script if rest is None else rest, directory, timeout_s)
        if rest is not None:
            raise Unreachable(self.host, f"{self.host}: the connection was lost")
        if on_line is not None:
            for line in output.stdout.splitlines():
                on_line(line)
        return output

    def close(self) -> None:
        """Ends the session."""

    def _execute(self, script: str, directory: str, timeout_s: float) -> Output:
        rewritten = _PATHS.sub(lambda match: f"{self.root}/{match[1]}", script)
        Path(directory, "script").write_text(rewritten)
        # Where the tests do not run as root, root of a user namespace may own files as well.
        become_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
        try:
            done = subprocess.run(
                [*become_root, "sh", "./script"],
                cwd=directory,
                env={"PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"{self.host}: a command did not end within {timeout_s:.0f} s"
            raise CommandFailed(self.host, message) from error
        return Output(
            status=done.returncode,
            stdout=done.stdout.replace(str(self.root), ""),
            stderr=done.stderr.replace(str(self.root), ""),
        )


def _bytes(file: Payload) -> bytes:
    return file.source.read_bytes() if file.source is not None else file.content or b""
