"""How initctl, in a root file system, reaches the upstart of the tests outside of it: a script of
sh, a pipe for questions, and one for each answer."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

INITCTL = r"""#!/bin/sh
# Asks the upstart of the tests: one line with the words, and a pipe for the answer.
program=${0##*/}
# Not by its process number: those come again, and one that was killed leaves its pipe.
reply=$(mktemp -u /run/upstart/reply.XXXXXXXXXX)
mkfifo "$reply" || exit 1
printf '%s%s\n' "$reply" "$(printf '\t%s' "$program" "$@")" >/run/upstart/requests
status=1
while IFS= read -r line; do
  case $line in
    "= "*) status=${line#= } ;;
    "! "*) printf '%s\n' "${line#! }" >&2 ;;
    *) printf '%s\n' "${line#> }" ;;
  esac
done <"$reply"
rm -f "$reply"
exit "$status"
"""
REPLY_LIMIT_S = 30
Answer = Callable[[int, str, str], None]
"""Takes a status, what goes to standard output, and what goes to standard error."""


class Channel:
    """Puts initctl into a root, and passes on what it is asked.

    Args:
        root: of the file system.
        asked: told the words of a command, and how to answer.
    """

    def __init__(self, root: Path, asked: Callable[[list[str], Answer], None]) -> None:
        self._root, self._asked = root, asked
        client = root / "sbin/initctl"
        client.write_text(INITCTL)
        client.chmod(0o755)
        requests = root / "run/upstart/requests"
        requests.unlink(missing_ok=True)
        os.mkfifo(requests)
        self._pipe = os.open(requests, os.O_RDWR)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Nobody is answered any more."""
        os.write(self._pipe, b"\n")
        self._reader.join(10)
        os.close(self._pipe)

    def _read(self) -> None:
        rest = b""
        while True:
            rest += os.read(self._pipe, 65536)
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if not line:
                    return
                reply, *words = line.decode().split("\t")
                self._asked(words, self._answer(self._root / reply.lstrip("/"), words[0]))

    def _answer(self, path: Path, program: str) -> Answer:
        def answer(status: int, said: str, complained: str) -> None:
            lines = [f"> {line}" for line in said.splitlines()]
            lines += [f"! {program}: {line}" for line in complained.splitlines()]
            text = "".join(f"{line}\n" for line in (*lines, f"= {status}")).encode()
            threading.Thread(target=_deliver, args=(path, text), daemon=True).start()

        return answer


def _deliver(path: Path, text: bytes) -> None:
    """Write an answer as soon as who asked reads; who is gone does not get one."""
    end = time.monotonic() + REPLY_LIMIT_S
    while time.monotonic() < end:
        try:
            out = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return
            time.sleep(0.005)
            continue
        with contextlib.suppress(BrokenPipeError):  # killed while it was reading
            os.write(out, text)
        os.close(out)
        return
